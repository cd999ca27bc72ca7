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

/** What a lane needs of a client; and of one that can be blocked, a promise for when it no longer is. */
type Sender = Pick<Client, 'cluster' | 'script'> & { readonly blocked?: Promise<void> | undefined }

/** A verb of the script and its arguments. */
export type Words = readonly [verb: string, ...args: (string | number)[]]

/** Where a node of a quorum remembers, and what it has to know for that. */
export interface NodeMemory {
  readonly key: string
  readonly settings: string
}

interface Asked {
  readonly name: string
  readonly words: Words
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

export class Lane {
  readonly #client: Sender
  readonly #script: Script
  readonly #naming: Naming
  readonly #memory: NodeMemory | undefined
  #waiting: Asked[] = []

  constructor(client: Sender, script: Script, naming: Naming, memory?: NodeMemory) {
    this.#client = client
    this.#script = script
    this.#naming = naming
    this.#memory = memory
  }

  ask(name: string, ...words: Words): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ name, words, resolve, reject })
      if (this.#waiting.length === 1) process.nextTick(() => this.#flush())
    })
  }

  #flush(): void {
    const { blocked } = this.#client
    if (blocked) return void blocked.then(() => this.#flush())
    const waiting = this.#waiting
    this.#waiting = []
    for (const asked of this.#client.cluster ? byName(waiting) : [waiting]) {
      for (let first = 0; first < asked.length; first += VERBS_MAX)
        void this.#send(asked.slice(first, first + VERBS_MAX))
    }
  }

  async #send(asked: readonly Asked[]): Promise<void> {
    const numbers = new Map<string, number>()
    const keys: string[] = []
    const verbs = asked.map(({ name, words: [verb, ...args] }) => {
      let number = numbers.get(name)
      if (number === undefined) {
        numbers.set(name, (number = numbers.size + 1))
        keys.push(...this.#naming.keys(name))
      }
      return [verb, number, ...args]
    })
    const args = [JSON.stringify(verbs)]
    if (this.#memory) {
      keys.push(this.#memory.key)
      args.push(this.#memory.settings)
    }
    try {
      const answers = (await this.#client.script(this.#script, keys, args)) as unknown[]
      for (const [index, { resolve, reject }] of asked.entries()) {
        const answer = answers[index]
        if (Array.isArray(answer) && answer[0] === 'error') reject(redisError(answer[1]))
        else resolve(answer)
      }
    } catch (error) {
      for (const { reject } of asked) reject(redisError(error))
    }
  }
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
