/**
 * One line of the log: what one process asks for in one turn.
 *
 * A line is appended by a single write(2) to a descriptor opened with O_APPEND: the kernel puts it at the end in one
 * piece, whoever else writes. A writer that is killed in the middle leaves a torn line. So a line begins with a line end,
 * which closes a torn one before it, and ends with a checksum, without which it does not count.
 */
import type { Claim, Entry } from '../../backend.ts'
import type { Moment } from '../../queue/table.ts'
import { crc32 } from './crc32.ts'

export type Verb =
  | readonly ['join', Entry]
  | readonly ['renew', Claim, ttlMs: number]
  /** Many entries of one name, by their fences: a process writes so only of entries that are its own. */
  | readonly ['renewals', name: string, ttlMs: number, fences: readonly number[]]
  | readonly ['leave', Claim, lingerMs: number]
  | readonly ['lighten', Claim, weight: number]
  | readonly ['describe', Claim, info: string]
  | readonly ['evict', name: string, fence: number]
  /** An instance follows a name, or no longer. */
  | readonly ['follow', name: string, yes: boolean]
  /** The kernel says that this instance is dead. */
  | readonly ['bury', instance: string]
  /** Fences up to this one are on disk as used. */
  | readonly ['reserve', fence: number]
  /** The end of this segment: what follows in the file is void. */
  | readonly ['seal']

export interface Line {
  /** Who wrote it. */
  readonly instance: string
  readonly now: Moment
  readonly verbs: readonly Verb[]
}

const LF = 0x0a
const CHECKSUM_LENGTH = 9

/** `\n` + JSON + ` ` + checksum + `\n` */
export function encodeLine({ instance, now, verbs }: Line): Buffer {
  const infos: string[] = []
  const packed = verbs.map((verb) => pack(verb, infos))
  return encodeText(JSON.stringify([instance, now.monotonicMs, now.wallMs, packed, ...infos]))
}

export function encodeText(json: string): Buffer {
  const line = Buffer.from(`\n${json} 00000000\n`)
  const end = line.length - 1 - CHECKSUM_LENGTH
  line.write(crc32(line.subarray(1, end)).toString(16).padStart(8, '0'), end + 1, 'latin1')
  return line
}

/** `undefined`: torn, or not a line of ours. `bytes` is without line ends. */
export function decodeLine(bytes: Buffer): Line | undefined {
  const json = decodeText(bytes)
  if (json === undefined) return undefined
  const [instance, monotonicMs, wallMs, verbs, ...infos] = JSON.parse(json) as PackedLine
  return { instance, now: { monotonicMs, wallMs }, verbs: verbs.map((packed) => unpack(packed, infos)) }
}

/** The infos of those who join come last, each once: most entries of a process say the same of their owner. */
type PackedLine = [instance: string, monotonicMs: number, wallMs: number, verbs: Packed[], ...infos: string[]]

/** A verb as it stands in the log: a list without keys, which would be longer than what they name. */
type Packed = readonly [word: string, ...fields: (string | number | boolean | null | readonly number[])[]]

function pack(verb: Verb, infos: string[]): Packed {
  switch (verb[0]) {
    case 'join': {
      const { name, id, weight, capacity, ttlMs, waitTtlMs, wait, waitersMax, lockDelayMs, info } = verb[1]
      const rare =
        waitersMax === undefined && lockDelayMs === undefined ? [] : [waitersMax ?? null, lockDelayMs ?? null]
      return ['join', name, id, weight, capacity, ttlMs, waitTtlMs, wait, placeOf(info, infos), ...rare]
    }
    case 'renew':
    case 'leave':
    case 'lighten':
    case 'describe':
      return [verb[0], verb[1].name, verb[1].id, verb[2]]
    case 'renewals':
      // Fences that were drawn together differ in their last digits only.
      return [verb[0], verb[1], verb[2], verb[3].map((fence, index, all) => fence - (all[index - 1] ?? 0))]
    default:
      return verb
  }
}

function unpack(packed: Packed, infos: readonly string[]): Verb {
  switch (packed[0]) {
    case 'join': {
      const [, name, id, weight, capacity, ttlMs, waitTtlMs, wait, info, waitersMax, lockDelayMs] = packed as PackedJoin
      const entry: Writable<Entry> = { name, id, weight, capacity, ttlMs, waitTtlMs, wait }
      if (info != null) entry.info = infos[info]!
      if (waitersMax != null) entry.waitersMax = waitersMax
      if (lockDelayMs != null) entry.lockDelayMs = lockDelayMs
      return ['join', entry]
    }
    case 'renew':
    case 'leave':
    case 'lighten':
    case 'describe': {
      const [word, name, id, value] = packed as readonly ['renew', string, string, number]
      return [word, { name, id }, value]
    }
    case 'renewals': {
      const [word, name, ttlMs, gaps] = packed as readonly ['renewals', string, number, readonly number[]]
      let fence = 0
      return [word, name, ttlMs, gaps.map((gap) => (fence += gap))]
    }
    default:
      return packed as Verb
  }
}

type PackedJoin = readonly [
  word: 'join',
  name: string,
  id: string,
  weight: number,
  capacity: number,
  ttlMs: number,
  waitTtlMs: number,
  wait: boolean,
  info: number | null,
  waitersMax?: number | null,
  lockDelayMs?: number | null,
]

function placeOf(info: string | undefined, infos: string[]): number | null {
  if (info === undefined) return null
  const place = infos.lastIndexOf(info)
  return place === -1 ? infos.push(info) - 1 : place
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

export function decodeText(bytes: Buffer): string | undefined {
  if (bytes.length <= CHECKSUM_LENGTH) return undefined
  const json = bytes.subarray(0, bytes.length - CHECKSUM_LENGTH)
  const checksum = bytes.toString('latin1', bytes.length - CHECKSUM_LENGTH + 1)
  return Number.parseInt(checksum, 16) === crc32(json) ? json.toString() : undefined
}

/** Call `visit` for each complete line in `bytes`, until it says `false`; empty lines are skipped. Returns what was read. */
export function eachLine(bytes: Buffer, visit: (line: Buffer) => boolean): number {
  let start = 0
  for (;;) {
    const end = bytes.indexOf(LF, start)
    if (end === -1) return start
    const line = bytes.subarray(start, end)
    start = end + 1
    if (line.length > 0 && !visit(line)) return start
  }
}
