/** The words of the script (`src/backends/redis/script.ts`), read as the server reads them, and written as it writes them. */
import type { Entry } from '../../../src/backend.ts'
import { Naming } from '../../../src/backends/redis/keys.ts'
import type { Call, Said } from './queues.ts'

/** Numbers may come as text. */
type Word = string | number

const KEYS_A_NAME = 4
const NAMING = new Naming('holdfast')

/** What a script is asked for: one verb as it is, or a list of them. Without those that only look. */
export function callsOf(keys: readonly string[], args: readonly string[]): Call[] {
  const nameAt = (number: Word): string => NAMING.nameOf(keys[KEYS_A_NAME * (Number(number) - 1)]!)!
  const [first = '', ...rest] = args
  if (first === 'look') return []
  if (!first.startsWith('[')) return [callOf(first, nameAt(rest[0]!), rest.slice(1, 3), rest.slice(3))]
  const list = JSON.parse(first) as readonly (readonly [string, number, ...Word[]])[]
  const changing = list.filter(([verb]) => verb !== 'look')
  return changing.map(([verb, number, ...words]) => {
    if (verb !== 'join') return callOf(verb, nameAt(number), words, [])
    const [id, tag, place] = words
    return callOf(verb, nameAt(number), [id!, tag!], JSON.parse(args[Number(place) - 1]!) as Word[])
  })
}

function callOf(verb: string, name: string, [subject = '', word = '']: readonly Word[], terms: readonly Word[]): Call {
  const id = String(subject)
  switch (verb) {
    case 'join':
      return { verb, name, id, ...joinOf(name, id, terms, String(word)) }
    case 'renew':
      return { verb, name, id, ttlMs: millis(word) }
    case 'leave':
      return { verb, name, id, lingerMs: millis(word) }
    case 'lighten':
      return { verb, name, id, weight: Number(word) }
    case 'describe':
      return { verb, name, id, info: String(word) }
    case 'evict':
      return { verb, name, id: '', fence: Number(subject) }
    case 'follow':
      return { verb, name, id: '', forMs: millis(subject) }
    default:
      throw new Error(`the model knows no verb ${verb}`)
  }
}

function joinOf(name: string, id: string, terms: readonly Word[], tag: string): Pick<JoinCall, 'entry' | 'address'> {
  const [weight, capacity, ttl, waitTtl, wait, waitersMax, delay, channel, info] = terms
  const entry: Entry = {
    name,
    id,
    weight: Number(weight),
    capacity: Number(capacity),
    ttlMs: millis(ttl!),
    waitTtlMs: millis(waitTtl!),
    wait: Number(wait) === 1,
    ...(Number(waitersMax) < 0 ? {} : { waitersMax: Number(waitersMax) }),
    lockDelayMs: millis(delay!),
    info: String(info),
  }
  return { entry, address: { channel: String(channel), tag } }
}

type JoinCall = Extract<Call, { verb: 'join' }>

/** As the script answers. */
export function wordsOf(said: Said): unknown {
  if (typeof said === 'boolean') return said ? 1 : 0
  switch (said.state) {
    case 'held':
      return ['held', Number(said.fence), micros(said.ttlMs)]
    case 'waiting':
      return ['waiting', Number(said.fence), micros(said.ttlMs), said.ahead, micros(said.retryAfterMs)]
    case 'refused':
      return ['refused', said.reason, micros(said.retryAfterMs), said.capacity ?? 0, said.holder ?? '']
    case 'lost':
      return ['lost']
  }
}

function millis(micros: Word): number {
  return Number(micros) / 1000
}

/** The script says -1 for "never". */
function micros(ms: number): number {
  return ms === Infinity ? -1 : Math.floor(ms * 1000)
}
