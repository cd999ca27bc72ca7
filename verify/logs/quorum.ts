/**
 * What the nodes of a quorum did, each by its MONITOR, and who held by the word of a majority of them.
 *
 * A node knows one entry of a name at most, since nobody waits at a quorum. It stands for a holder when it was told the fence of
 * that, or has drawn it; and it keeps others out for as long as that lease lasts there, also when it has lost its memory, for then
 * it grants nothing. Whoever was granted something was let in when a majority stood for it, and is out when they are fewer.
 */
import { WHOLE } from '../../src/backend.ts'
import { Naming } from '../../src/backends/redis/keys.ts'
import { PROPOSED_AHEAD_MAX_MS } from '../../src/quorum/node.ts'
import type { Event } from '../../src/verify/history.ts'
import { MemoryRecorder } from '../../src/verify/history.ts'
import type { CoordinatorLog } from '../../src/verify/torture/trial.ts'
import { labelOf } from '../../test/simulation/diary.ts'
import type { Terms } from '../../test/simulation/redis/words.ts'
import { rowsOf, termsOf } from '../../test/simulation/redis/words.ts'
import type { Ear } from './ear.ts'
import { Ears } from './ear.ts'
import { userNameOf } from './names.ts'
import type { Told } from './told.ts'
import { fenceTold, toldOf } from './told.ts'

const NAMING = new Naming('holdfast-redlock')
/** By these a node is told a fence. */
const TELLS = new Set(['confirm', 'seed', 'admit'])

/** What a node was asked in one verb, and when. Times are of the history; what the node drew is of its own clock. */
interface Call {
  readonly at: number
  readonly node: number
  readonly verb: string
  readonly name: string
  readonly id: string
  /** The fence that it is told, or that is proposed to it; or the time that something is to last, in microseconds; or 0. */
  readonly number: number
  readonly terms: Terms | undefined
  /** Its clock was between these, in microseconds. */
  readonly clock: readonly [least: number, most: number]
}

/** What a node knows of a name. */
interface Entry {
  readonly id: string
  /** It drew a fence between these. */
  readonly drawn: readonly [least: number, most: number]
  /** What it was told in the end. */
  fence: number | undefined
  ends: number
}

/** Whoever holds, or may come to. */
interface Candidate {
  readonly name: string
  readonly fence: number
  readonly hold: string | undefined
  state: 'asks' | 'holds' | 'left'
  /** When a majority no longer stands for it, if nothing more is heard. */
  ends: number
}

export class QuorumLog implements CoordinatorLog {
  readonly #ears: Ears

  private constructor(ears: Ears) {
    this.#ears = ears
  }

  static async open(ports: readonly number[]): Promise<QuorumLog> {
    return new QuorumLog(await Ears.open(ports))
  }

  async events(seen: readonly Event[]): Promise<Event[] | undefined> {
    if (!(await this.#ears.heardAll())) return undefined
    const { all } = this.#ears
    const calls = all.flatMap((ear, node) => callsOf(ear, node))
    return new Count(all.length, toldOf(seen)).of(calls.sort((a, b) => a.at - b.at))
  }

  end(): void {
    this.#ears.end()
  }
}

function callsOf({ carried, offsetMs }: Ear, node: number): Call[] {
  return carried.flatMap(({ given, calledAt, readBy }) => {
    const { keys, args } = given()
    const rows = rowsOf(args)
    const about = {
      at: readBy / 1000 + offsetMs,
      node,
      clock: [calledAt, readBy] as const,
    }
    return rows.flatMap((row) => {
      const { verb, subject, x } = row
      const name = NAMING.nameOf(keys[row.place - 1]!)
      if (name === undefined) return []
      return { ...about, verb, name, id: String(subject), number: Number(x), terms: termsOf(args, row) }
    })
  })
}

/** Who holds, counted call by call. */
class Count {
  readonly #majority: number
  readonly #told: Told
  /** By name, of each node. */
  readonly #entries = new Map<string, (Entry | undefined)[]>()
  /** No fence that a node knows of is larger. */
  readonly #tops: number[]
  /** By name and owner token. */
  readonly #candidates = new Map<string, Candidate>()
  readonly #holding = new Set<Candidate>()
  /** The info of each token. */
  readonly #infos = new Map<string, string>()
  readonly #recorder = new MemoryRecorder(() => 0)

  constructor(nodes: number, told: Told) {
    this.#told = told
    this.#majority = Math.floor(nodes / 2) + 1
    this.#tops = Array.from({ length: nodes }, () => 0)
  }

  of(calls: readonly Call[]): Event[] {
    for (const call of calls) {
      this.#endUntil(call.at)
      this.#apply(call)
      this.#recount(call)
    }
    this.#endUntil(Infinity)
    return this.#recorder.events.sort((a, b) => a.at - b.at)
  }

  #apply(call: Call): void {
    const { at, node, verb, name, id, number, terms } = call
    const entries = this.#entries.get(name) ?? []
    this.#entries.set(name, entries)
    const entry = entries[node] && entries[node].ends > at ? entries[node] : undefined
    if (TELLS.has(verb)) this.#raise(node, number)
    if (terms) {
      const drawn = this.#draw(call, entry !== undefined)
      if (entry) return
      this.#infos.set(id, terms.info)
      const ends = at + terms.ttl / 1000
      entries[node] = { id, drawn, fence: verb === 'seed' ? number : undefined, ends }
    } else if (entry?.id === id) {
      if (verb === 'confirm') entry.fence = number
      if (verb === 'renew') entry.ends = Math.max(entry.ends, at + number / 1000)
      // What lingers is nobody's.
      if (verb === 'leave') entries[node] = number > 0 ? { ...entry, id: '', ends: at + number / 1000 } : undefined
    }
  }

  /** Between which fences the one is that it draws; who finds somebody there draws none, and what was proposed is known all the same. */
  #draw({ node, number: proposed, clock: [least, most] }: Call, none: boolean): readonly [least: number, most: number] {
    const heeded = (clock: number): number => (proposed <= clock + PROPOSED_AHEAD_MAX_MS * 1000 ? proposed : 0)
    this.#raise(node, heeded(most) - 1)
    // What it knew it may have forgotten since.
    const drawn = [Math.max(least, heeded(least)), Math.max(most, this.#tops[node]! + 1)] as const
    if (!none) this.#raise(node, drawn[1])
    return drawn
  }

  #raise(node: number, top: number): void {
    this.#tops[node] = Math.max(this.#tops[node]!, top)
  }

  /** Of whoever that call was about. */
  #recount({ at, name, id }: Call): void {
    const own = this.#entries.get(name)!.filter((entry) => entry?.id === id && entry.ends > at) as Entry[]
    const key = `${id} ${name}`
    const hold = labelOf(this.#infos.get(id))
    const confirmed = this.#candidates.get(key)?.fence ?? own.find((entry) => entry.fence !== undefined)?.fence
    // Where a majority drew the same, nobody had to be told.
    const fence = confirmed ?? fenceTold(this.#told, userNameOf(name), hold)
    if (fence === undefined) return
    const candidate = this.#candidates.get(key) ?? { name: userNameOf(name), fence, hold, state: 'asks', ends: 0 }
    this.#candidates.set(key, candidate)
    const standing = own.filter(({ fence: told, drawn: [least, most] }) =>
      told === undefined ? least <= fence && fence <= most : told === fence,
    )
    // So many of them may end, and it is still held; with one more it is not.
    candidate.ends = standing.map(({ ends }) => ends).sort((a, b) => b - a)[this.#majority - 1] ?? at
    if (candidate.state === 'asks' && candidate.ends > at) this.#holds(candidate, at)
    if (candidate.state === 'holds' && candidate.ends <= at) this.#left(candidate)
  }

  #endUntil(at: number): void {
    for (const candidate of this.#holding) if (candidate.ends <= at) this.#left(candidate)
  }

  #holds(candidate: Candidate, at: number): void {
    const { name, fence, hold } = candidate
    candidate.state = 'holds'
    this.#holding.add(candidate)
    this.#recorder.note('quorum', { kind: 'entered', name, fence, hold, weight: WHOLE, capacity: WHOLE }, at)
    this.#recorder.note('quorum', { kind: 'holds', name, fence, hold }, at)
  }

  #left(candidate: Candidate): void {
    const { name, fence, hold, ends } = candidate
    candidate.state = 'left'
    this.#holding.delete(candidate)
    this.#recorder.note('quorum', { kind: 'left', name, fence, hold }, ends)
  }
}
