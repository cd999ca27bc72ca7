/**
 * Sends verbs to the server: what one turn of the event loop asks for leaves as one script call, at its end.
 *
 * But of a burst, the first ones leave at once, and the server works on them while this process is still at the others.
 * When 64 tasks ask again as soon as they are answered, two calls of 32 are always on their way, and the process and the
 * server work at the same time: more than three pairs for every two that one call of 64 at a time brings (`docs/bench.md`, W2T).
 *
 * A burst is mostly about names that nobody else wants, for which their heads are enough; and to write, read and free keys is a third
 * of what a call costs. So it leaves with the heads alone, and where there is more, nothing is done, and that is asked for once more
 * with all keys, before anything that has not left yet. It is known then of that name, and does not happen again.
 *
 * No verb is answered by a request that left before it. Two lanes never wait for each other's answers.
 */
import { nextTurn } from '../../runtime.ts'
import { failed, isCrowded } from './answer.ts'
import type { Client, Script } from './client.ts'
import { redisError } from './errors.ts'
import type { Naming } from './keys.ts'
import type { Terms } from './terms.ts'

/** A server does nothing else while it runs a script. */
export const VERBS_MAX = 500
/** So many share what a call costs beside its verbs; then it is better to be early. */
const BURST = 32

/** What a lane needs of a client. */
export interface Sender extends Pick<Client, 'cluster' | 'script' | 'writesLater'> {
  /** Of one that can be blocked: a promise for when it no longer is. */
  readonly blocked?: Promise<void> | undefined
  /** It has to understand the answers, so they come as a list, also when there is one. */
  readonly reads?: true
}

/** Where a node of a quorum remembers, and what it has to know for that. */
export interface NodeMemory {
  readonly key: string
  readonly settings: string
}

/** What a verb of the script is given: whom it is about, and two arguments at most. */
export type Words = readonly [subject?: string | number, x?: string | number, y?: number]

/** One verb about one name. */
interface Asked {
  readonly name: string
  readonly verb: string
  readonly words: Words
  readonly terms: Terms | undefined
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

/**
 * What the lanes of a client have in common that writes only when a turn of the event loop is over: what they send in one turn
 * leaves together, is answered together, and never parts again. So what comes after a burst leaves in the next turn.
 */
export class Turn {
  hasBurst = false
  readonly #over = (): void => void (this.hasBurst = false)

  begin(): void {
    this.hasBurst = true
    nextTurn(this.#over)
  }
}

export interface LaneOptions {
  readonly turn?: Turn
  readonly memory?: NodeMemory | undefined
  /** How many make a burst, if not as many as is best. */
  readonly burst?: number | undefined
}

export class Lane {
  readonly #client: Sender
  readonly #script: Script
  readonly #naming: Naming
  readonly #turn: Turn | undefined
  readonly #memory: NodeMemory | undefined
  readonly #flushLater = (): void => this.#flush()
  readonly #burst: number
  /** Whether heads may be enough. Not to who has to understand the answers. */
  readonly #mayBeShort: boolean
  #waiting: Asked[] = []
  /** How many calls are on their way with heads alone; and what of them has to be asked for once more, when none is. */
  #short = 0
  #again: Asked[] = []
  #isBurst = false

  constructor(client: Sender, script: Script, naming: Naming, { turn, memory, burst = BURST }: LaneOptions = {}) {
    this.#client = client
    this.#script = script
    this.#naming = naming
    this.#turn = client.writesLater ? turn : undefined
    this.#memory = memory
    this.#burst = burst
    this.#mayBeShort = !(client.cluster || client.reads || memory)
  }

  ask(name: string, verb: string, words: Words, terms?: Terms): Promise<unknown> {
    return new Promise((resolve, reject) => this.#enqueue({ name, verb, words, terms, resolve, reject }))
  }

  #enqueue(asked: Asked): void {
    this.#waiting.push(asked)
    if (this.#waiting.length === 1) process.nextTick(this.#flushLater)
    else if (this.#waiting.length === this.#burst && !this.#isBurst) this.#flushEarly()
  }

  /** Once a turn. */
  #flushEarly(): void {
    if (this.#client.blocked || !this.#mayBeShort || this.#turn?.hasBurst || this.#again.length > 0) return
    this.#isBurst = true
    this.#turn?.begin()
    this.#send(this.#waiting, true)
    this.#waiting = []
  }

  #flush(): void {
    const { blocked, cluster, reads } = this.#client
    if (blocked) return void blocked.then(() => this.#flush())
    const waiting = this.#waiting
    if (waiting.length > 0 && this.#turn?.hasBurst) return nextTurn(this.#flushLater)
    this.#isBurst = false
    // What has to be asked for again goes first.
    if (waiting.length === 0 || this.#again.length > 0) return
    this.#waiting = []
    // What comes after a call that may have to be asked again must be no quicker than that.
    const short = this.#mayBeShort && (waiting.length >= this.#burst || this.#short > 0)
    if (waiting.length === 1 && !reads && !short) return this.#sendOne(waiting[0]!)
    if (waiting.length >= this.#burst) this.#turn?.begin()
    for (const asked of cluster ? byName(waiting) : [waiting]) {
      for (let first = 0; first < asked.length; first += VERBS_MAX)
        this.#send(asked.slice(first, first + VERBS_MAX), short)
    }
  }

  /** As it is. */
  #sendOne(asked: Asked): void {
    const { name, verb, words, terms } = asked
    let keys: readonly string[] = this.#naming.of(name).keys
    const args = [verb]
    for (const word of words) args.push(String(word))
    if (terms) args.push(...terms)
    if (this.#memory) {
      keys = [...keys, this.#memory.key]
      args.push(this.#memory.settings)
    }
    this.#client.script(this.#script, keys, args).then(
      (answer) => settle(asked, answer),
      (error: unknown) => asked.reject(redisError(error)),
    )
  }

  /**
   * As a list.
   *
   * @param short with no more than the head of a name, where that may be enough
   */
  #send(asked: readonly Asked[], short: boolean): void {
    const keys: string[] = []
    const firsts = new Map<string, number>()
    const args = ['']
    const places = new Map<Terms, number>()
    const list: (string | number)[] = []
    for (const { name, verb, words, terms } of asked) {
      let first = firsts.get(name)
      if (first === undefined) {
        firsts.set(name, (first = keys.length + 1))
        const known = this.#naming.of(name)
        if (short && !known.crowded) keys.push(known.keys[0])
        else keys.push(...known.keys)
      }
      let place = terms && places.get(terms)
      if (terms && place === undefined) {
        places.set(terms, (place = args.length + 1))
        args.push(...terms)
      }
      list.push(verb, first, words[0] ?? 0, words[1] ?? 0, place ?? words[2] ?? 0)
    }
    args[0] = JSON.stringify(list)
    if (this.#memory) {
      keys.push(this.#memory.key)
      args.push(this.#memory.settings)
    }
    if (short) this.#short += 1
    this.#client.script(this.#script, keys, args).then(
      (said) => {
        const answers = said as readonly unknown[]
        for (let index = 0; index < asked.length; index += 1) {
          const answer = answers[index]
          if (short && isCrowded(answer)) this.#crowded(asked[index]!)
          else settle(asked[index]!, answer)
        }
        if (short) this.#shortIsOver()
      },
      (error: unknown) => {
        for (const { reject } of asked) reject(redisError(error))
        if (short) this.#shortIsOver()
      },
    )
  }

  #crowded(asked: Asked): void {
    this.#naming.of(asked.name).crowded = true
    this.#again.push(asked)
  }

  #shortIsOver(): void {
    this.#short -= 1
    if (this.#short > 0 || this.#again.length === 0) return
    this.#waiting = [...this.#again, ...this.#waiting]
    this.#again = []
    this.#flush()
  }
}

function settle({ resolve, reject }: Asked, answer: unknown): void {
  if (failed(answer)) reject(redisError(answer[1]))
  else resolve(answer)
}

/** What concerns one name lies on one node. */
function byName(waiting: readonly Asked[]): Iterable<Asked[]> {
  const groups = new Map<string, Asked[]>()
  for (const asked of waiting) {
    const group = groups.get(asked.name)
    if (group) group.push(asked)
    else groups.set(asked.name, [asked])
  }
  return groups.values()
}
