/**
 * Sends verbs to the server: what one turn of the event loop asks for leaves as one script call, at its end.
 *
 * But of a burst, the first ones leave at once, and the server works on them while this process is still at the others.
 * When 64 tasks ask again as soon as they are answered, two calls of 32 are always on their way, and the process and the
 * server work at the same time: more than three pairs for every two that one call of 64 at a time brings (`docs/bench.md`, W2T).
 *
 * No verb is answered by a request that left before it. Two lanes never wait for each other.
 */
import type { Client, Script } from './client.ts'
import { redisError } from './errors.ts'
import type { Naming } from './keys.ts'
import type { Terms } from './terms.ts'

/** A server does nothing else while it runs a script. */
const VERBS_MAX = 500
/** So many share what a call costs beside its verbs; then it is better to be early. */
const BURST = 32

/** What a lane needs of a client. */
export interface Sender extends Pick<Client, 'cluster' | 'script'> {
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

/** What a verb of the script is given. */
export type Words = readonly (string | number)[]

/** One verb about one name. */
export interface Question {
  readonly name: string
  readonly words: Words
}

interface Asked extends Question {
  readonly verb: string
  readonly terms: Terms | undefined
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

export class Lane {
  readonly #client: Sender
  readonly #script: Script
  readonly #naming: Naming
  readonly #memory: NodeMemory | undefined
  readonly #flushLater = (): void => this.#flush()
  #waiting: Asked[] = []
  #isBurst = false

  constructor(client: Sender, script: Script, naming: Naming, memory?: NodeMemory) {
    this.#client = client
    this.#script = script
    this.#naming = naming
    this.#memory = memory
  }

  ask(name: string, verb: string, words: Words, terms?: Terms): Promise<unknown> {
    return new Promise((resolve, reject) => this.#enqueue({ name, verb, words, terms, resolve, reject }))
  }

  /** The same verb about many names: all answers, or an error when one is missing. Without a promise for each: a tenth less. */
  askAll(verb: string, questions: readonly Question[]): Promise<unknown[]> {
    return new Promise((resolve, reject) => {
      const answers: unknown[] = []
      let missing = questions.length
      if (missing === 0) return resolve(answers)
      for (const [index, { name, words }] of questions.entries()) {
        const take = (answer: unknown): void => {
          answers[index] = answer
          missing -= 1
          if (missing === 0) resolve(answers)
        }
        this.#enqueue({ name, verb, words, terms: undefined, resolve: take, reject })
      }
    })
  }

  #enqueue(asked: Asked): void {
    this.#waiting.push(asked)
    if (this.#waiting.length === 1) process.nextTick(this.#flushLater)
    else if (this.#waiting.length === BURST && !this.#isBurst) this.#flushEarly()
  }

  /** Once a turn. */
  #flushEarly(): void {
    const { blocked, cluster, reads } = this.#client
    if (blocked || cluster || reads || this.#memory) return
    this.#isBurst = true
    this.#send(this.#waiting)
    this.#waiting = []
  }

  #flush(): void {
    const { blocked, cluster, reads } = this.#client
    if (blocked) return void blocked.then(() => this.#flush())
    const waiting = this.#waiting
    this.#waiting = []
    this.#isBurst = false
    if (waiting.length === 0) return
    if (waiting.length === 1 && !reads && !this.#memory) return this.#sendOne(waiting[0]!)
    for (const asked of cluster ? byName(waiting) : [waiting]) {
      for (let first = 0; first < asked.length; first += VERBS_MAX) this.#send(asked.slice(first, first + VERBS_MAX))
    }
  }

  /** As it is. */
  #sendOne(asked: Asked): void {
    const { name, verb, words, terms } = asked
    const args = [verb, '1']
    for (const word of words) args.push(String(word))
    if (terms) args.push(...terms.words)
    this.#client.script(this.#script, this.#naming.keys(name), args).then(
      (answer) => settle(asked, answer),
      (error: unknown) => asked.reject(redisError(error)),
    )
  }

  /** As a list. */
  #send(asked: readonly Asked[]): void {
    const numbers = new Map<string, number>()
    const keys: string[] = []
    const args = ['']
    const places = new Map<Terms, number>()
    const list = asked.map(({ name, verb, words, terms }) => {
      let number = numbers.get(name)
      if (number === undefined) {
        numbers.set(name, (number = numbers.size + 1))
        keys.push(...this.#naming.keys(name))
      }
      if (!terms) return [verb, number, ...words]
      let place = places.get(terms)
      if (place === undefined) places.set(terms, (place = args.push(terms.json)))
      return [verb, number, words[0], words[1], place, ...words.slice(2)]
    })
    args[0] = JSON.stringify(list)
    if (this.#memory) {
      keys.push(this.#memory.key)
      args.push(this.#memory.settings)
    }
    this.#client.script(this.#script, keys, args).then(
      (said) => {
        const answers = said as readonly unknown[]
        for (let index = 0; index < asked.length; index += 1) settle(asked[index]!, answers[index])
      },
      (error: unknown) => {
        for (const { reject } of asked) reject(redisError(error))
      },
    )
  }
}

function settle({ resolve, reject }: Asked, answer: unknown): void {
  if (Array.isArray(answer) && answer[0] === 'error') reject(redisError(answer[1]))
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
