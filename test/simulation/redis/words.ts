/** The words of the script (`src/backends/redis/script.ts`), read as the server reads them, and written as it writes them. */
import type { Entry } from '../../../src/backend.ts'
import { Naming } from '../../../src/backends/redis/keys.ts'
import type { Call, Said } from './queues.ts'

/** Numbers may come as text. */
type Word = string | number

const NAMING = new Naming('holdfast')
/** Of a verb in a list: its word, where the keys of its name begin, whom it is about, and two arguments. */
const PLACES_A_VERB = 5
/** Where the terms of a join begin that is alone. */
const TERMS_OF_ONE = 4

/** What a script is asked for: one verb as it is, or a list of them. Without those that only look. */
export function callsOf(keys: readonly string[], args: readonly string[]): Call[] {
  const rows = rowsOf(args).filter(({ verb }) => verb !== 'look')
  return rows.map((row) => {
    const head = keys[row.place - 1]!
    return callOf(NAMING.nameOf(head)!, row, termsOf(args, row), keys[row.place] === `${head}:order`)
  })
}

/** One verb, as it stands in a list. */
export interface Row {
  readonly verb: string
  /** Where in KEYS those of its name begin, from 1. */
  readonly place: number
  readonly subject: Word
  readonly x: Word
  readonly y: Word
}

export function rowsOf(args: readonly string[]): Row[] {
  const words = listOf(args)
  const rows: Row[] = []
  for (let at = 0; at < words.length; at += PLACES_A_VERB) {
    const [verb, place, subject, x, y] = words.slice(at, at + PLACES_A_VERB) as [string, number, Word, Word, Word]
    rows.push({ verb, place, subject, x, y })
  }
  return rows
}

function listOf([first = '', second = '', third = '']: readonly string[]): readonly Word[] {
  if (first.startsWith('[')) return JSON.parse(first) as Word[]
  if (first !== 'renewEach') return [first, 1, second, third, TERMS_OF_ONE]
  return (JSON.parse(third) as string[]).flatMap((id, index) => ['renew', index + 1, id, second, 0])
}

/** How the script answers what it is asked for, where these are the words for each verb. */
export function answerOf([first = '', , , fences = '']: readonly string[], words: readonly unknown[]): unknown {
  if (first.startsWith('[')) return words
  if (first !== 'renewEach') return words[0]
  const known = JSON.parse(fences) as number[]
  return words.flatMap((each, index) => (each === known[index] ? [] : [index + 1, each]))
}

/** What a join says, but for its token and tag. Times are microseconds. */
export interface Terms {
  readonly ttl: number
  readonly delay: number
  readonly others: readonly Word[]
  readonly info: string
}

/** Of a verb that has some. */
export function termsOf(args: readonly string[], { verb, y }: Row): Terms | undefined {
  if (verb !== 'join' && verb !== 'seed') return undefined
  const [ttl, delay, text = ''] = args.slice(Number(y) - 1)
  const others = JSON.parse(text) as Word[]
  return { ttl: Number(ttl), delay: Number(delay), others, info: String(others.at(-1)) }
}

function callOf(name: string, { verb, subject, x: word }: Row, terms: Terms | undefined, hasRoom: boolean): Call {
  const id = String(subject)
  switch (verb) {
    case 'join':
      return { verb, name, id, ...joinOf(name, id, terms!, String(word)) }
    case 'renew':
      return { verb, name, id, ttlMs: millis(word), hasRoom }
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

function joinOf(name: string, id: string, terms: Terms, tag: string): Pick<JoinCall, 'entry' | 'address'> {
  const { ttl, delay, info } = terms
  const [weight, capacity, waitTtl, wait, waitersMax, channel] = terms.others
  const entry: Entry = {
    name,
    id,
    weight: Number(weight),
    capacity: Number(capacity),
    ttlMs: millis(ttl),
    waitTtlMs: millis(waitTtl!),
    wait: Number(wait) === 1,
    ...(Number(waitersMax) < 0 ? {} : { waitersMax: Number(waitersMax) }),
    lockDelayMs: millis(delay),
    info,
  }
  return { entry, address: { channel: String(channel), tag } }
}

type JoinCall = Extract<Call, { verb: 'join' }>

/** As the script answers. */
export function wordsOf(said: Said): unknown {
  if (typeof said === 'boolean') return said ? 1 : 0
  if (said === 'crowded') return ['crowded']
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
