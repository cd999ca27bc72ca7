/**
 * Renews many at a time: a quarter of what they would cost as so many verbs.
 *
 * Most are the only entry of their name, for which its head is enough, and keys are most of what such a request is made of. Where
 * there is more, nothing is done, and it is asked for like any other verb. What is as everybody knows already is not said. And who holds at
 * one renewal mostly holds at the next, so what was made of them is kept.
 */
import type { Claim, Placed } from '../../backend.ts'
import { failed, isCrowded } from './answer.ts'
import type { Script } from './client.ts'
import { redisError } from './errors.ts'
import type { Naming } from './keys.ts'
import type { Lane, Sender } from './lane.ts'
import { VERBS_MAX } from './lane.ts'

/** Some of many claims, and how they are asked for. */
interface Part {
  readonly claims: readonly Placed[]
  /** Of those for which the head of the name is enough: where in the part they are, the heads, and two lists in JSON. */
  readonly alone: readonly number[]
  readonly heads: readonly string[]
  readonly ids: string
  readonly fences: string
  /** Where those are that are asked for like any other verb. */
  readonly others: readonly number[]
}

/** Nobody has it. */
const NO_FENCE = 0

export class Bulk {
  readonly #client: Sender
  readonly #script: Script
  readonly #naming: Naming
  readonly #lane: Lane
  /** Of those who were renewed last. */
  #parts: Part[] = []

  /** @param lane for those who have company */
  constructor(client: Sender, script: Script, naming: Naming, lane: Lane) {
    this.#client = client
    this.#script = script
    this.#naming = naming
    this.#lane = lane
  }

  /** Their answers in order, or an error when one is missing. `undefined`: holds, with the fence that was given. */
  async renew(claims: readonly Placed[], ttl: number): Promise<unknown[]> {
    const answers = Array<unknown>(claims.length).fill(undefined)
    const asked: Promise<void>[] = []
    for (let first = 0; first < claims.length; first += VERBS_MAX) {
      const index = first / VERBS_MAX
      const known = this.#parts[index]
      const part = known && isOf(known, claims, first) ? known : this.#partOf(claims.slice(first, first + VERBS_MAX))
      this.#parts[index] = part
      if (part.alone.length > 0) asked.push(this.#renewByHeads(part, ttl, first, answers))
      for (const place of part.others) asked.push(this.#renewOne(part.claims[place]!, ttl, first + place, answers))
    }
    this.#parts.length = Math.ceil(claims.length / VERBS_MAX)
    await Promise.all(asked)
    return answers
  }

  #partOf(claims: readonly Placed[]): Part {
    const alone: number[] = []
    const heads: string[] = []
    const ids: string[] = []
    const fences: number[] = []
    const others: number[] = []
    // Of a cluster, each name may lie elsewhere; and who reads the answers would not find those that go without saying.
    const { cluster, reads } = this.#client
    for (const [place, { name, id, fence }] of claims.entries()) {
      const known = this.#naming.of(name)
      if (known.crowded || cluster || reads) {
        others.push(place)
        continue
      }
      alone.push(place)
      heads.push(known.keys[0])
      ids.push(id)
      fences.push(fence === undefined ? NO_FENCE : Number(fence))
    }
    return { claims, alone, heads, ids: JSON.stringify(ids), fences: JSON.stringify(fences), others }
  }

  async #renewByHeads(part: Part, ttl: number, first: number, answers: unknown[]): Promise<void> {
    const words = ['renewEach', String(ttl), part.ids, part.fences]
    const said = (await this.#client.script(this.#script, part.heads, words).catch((error: unknown) => {
      throw redisError(error)
    })) as readonly unknown[]
    const again: Promise<void>[] = []
    for (let at = 0; at < said.length; at += 2) {
      const place = part.alone[Number(said[at]) - 1]!
      const claim = part.claims[place]!
      const answer = said[at + 1]
      if (failed(answer)) throw redisError(answer[1])
      if (isCrowded(answer)) {
        this.#naming.of(claim.name).crowded = true
        this.#parts = []
        again.push(this.#renewOne(claim, ttl, first + place, answers))
      } else {
        answers[first + place] = answer
      }
    }
    await Promise.all(again)
  }

  async #renewOne({ name, id }: Claim, ttl: number, place: number, answers: unknown[]): Promise<void> {
    answers[place] = await this.#lane.ask(name, 'renew', [id, ttl])
  }
}

/** Whether these are the claims of `part`: the same objects, in the same order. */
function isOf({ claims: those }: Part, claims: readonly Placed[], first: number): boolean {
  if (those.length !== Math.min(VERBS_MAX, claims.length - first)) return false
  for (let place = 0; place < those.length; place += 1) if (those[place] !== claims[first + place]) return false
  return true
}
