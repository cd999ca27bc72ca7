/**
 * Sends verbs to the server: what one turn of the event loop asks for leaves as one script call, at its end.
 *
 * No verb is answered by a request that left before it. Two lanes never wait for each other.
 */
import type { Client, Script } from './client.ts'
import { redisError } from './errors.ts'
import type { Naming } from './keys.ts'

/** A server does nothing else while it runs a script. */
const VERBS_MAX = 500

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

interface Asked {
  readonly name: string
  readonly verb: string
  readonly words: Words
  /** Its last words. Others of the same request are likely to have them, too: in a list, each is sent once. */
  readonly texts: readonly string[]
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

const NONE: readonly string[] = []

export class Lane {
  readonly #client: Sender
  readonly #script: Script
  readonly #naming: Naming
  readonly #memory: NodeMemory | undefined
  readonly #flushLater = (): void => this.#flush()
  #waiting: Asked[] = []

  constructor(client: Sender, script: Script, naming: Naming, memory?: NodeMemory) {
    this.#client = client
    this.#script = script
    this.#naming = naming
    this.#memory = memory
  }

  ask(name: string, verb: string, words: Words, texts: readonly string[] = NONE): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ name, verb, words, texts, resolve, reject })
      if (this.#waiting.length === 1) process.nextTick(this.#flushLater)
    })
  }

  #flush(): void {
    const { blocked, cluster, reads } = this.#client
    if (blocked) return void blocked.then(() => this.#flush())
    const waiting = this.#waiting
    this.#waiting = []
    if (waiting.length === 1 && !reads && !this.#memory) return this.#sendOne(waiting[0]!)
    for (const asked of cluster ? byName(waiting) : [waiting]) {
      for (let first = 0; first < asked.length; first += VERBS_MAX) this.#send(asked.slice(first, first + VERBS_MAX))
    }
  }

  /** As it is. */
  #sendOne(asked: Asked): void {
    const { name, verb, words, texts } = asked
    const args = [verb, '1']
    for (const word of words) args.push(String(word))
    args.push(...texts)
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
    const list = asked.map(({ name, verb, words, texts }) => {
      let number = numbers.get(name)
      if (number === undefined) {
        numbers.set(name, (number = numbers.size + 1))
        keys.push(...this.#naming.keys(name))
      }
      const line = [verb, number, ...words]
      for (const text of texts) {
        let place = args.indexOf(text, 1)
        if (place < 0) place = args.push(text) - 1
        line.push(place + 1)
      }
      return line
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
