/**
 * Sends scripts of which the answers count only when enough replicas have what was written.
 *
 * WAIT blocks the connection it is sent on, and counts what that connection has written. So it follows the script on a
 * connection of our own, and while it blocks, the lane gathers what is asked for (`blocked`).
 *
 * What is said to be held or to wait has a lease that somebody will believe in; without the replicas, nobody knows whether
 * it outlives the server, and the answer is an error. A refusal or a loss is true without them.
 *
 * A server that does not know the script yet makes this wait twice if a replica is away: WAIT follows the refusal as well.
 */
import { BackendError } from '../../backend.ts'
import type { Client, Script } from './client.ts'
import { redisError } from './errors.ts'

export class Replicated {
  readonly cluster = false
  readonly reads = true
  readonly #shared: Client
  readonly #replicas: number
  readonly #timeoutMs: number
  #own: Promise<Client> | undefined
  #closed = false
  #calls = 0
  #blocked: { readonly over: Promise<void>; readonly end: () => void } | undefined

  /** @param shared the client whose server it is; nothing is sent on it */
  constructor(shared: Client, replicas: number, timeoutMs: number) {
    this.#shared = shared
    this.#replicas = replicas
    this.#timeoutMs = timeoutMs
  }

  /** There while an answer is outstanding; resolves with the last one. */
  get blocked(): Promise<void> | undefined {
    return this.#blocked?.over
  }

  async script(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    this.#begin()
    let waited: Promise<unknown> = Promise.resolve()
    try {
      const client = await this.#connected()
      const answers = (await client.script(script, keys, args, () => {
        waited = this.#wait(client)
      })) as unknown[]
      if (!answers.some(needsReplicas)) return answers
      const got = await waited
      if (got instanceof Error) throw got
      if (Number(got) >= this.#replicas) return answers
      const error = this.#tooFew(Number(got))
      return answers.map((answer) => (needsReplicas(answer) ? ['error', error] : answer))
    } finally {
      void waited.then(() => this.#end())
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#own?.then((own) => own.close()).catch(() => {})
  }

  /** How many replicas have it, or why that is not known. */
  #wait(client: Client): Promise<unknown> {
    return client.everywhere('WAIT', String(this.#replicas), String(this.#timeoutMs)).then(
      ([count]) => count,
      (error: unknown) => redisError(error),
    )
  }

  #connected(): Promise<Client> {
    this.#own ??= this.#shared.own().then(
      async (own) => {
        if (this.#closed) await own.close()
        return own
      },
      (error: unknown) => {
        this.#own = undefined
        throw error
      },
    )
    return this.#own
  }

  #begin(): void {
    this.#calls += 1
    if (this.#blocked) return
    let end = (): void => {}
    const over = new Promise<void>((resolve) => (end = resolve))
    this.#blocked = { over, end }
  }

  #end(): void {
    this.#calls -= 1
    if (this.#calls > 0) return
    const { end } = this.#blocked!
    this.#blocked = undefined
    end()
  }

  #tooFew(count: number): BackendError {
    const text = `${count} of ${this.#replicas} replicas have it after ${this.#timeoutMs} ms, so it does not count`
    return new BackendError('NOT_REPLICATED', `redis: ${text}`)
  }
}

/** A fence alone says that it is held. */
function needsReplicas(answer: unknown): boolean {
  return !Array.isArray(answer) || answer[0] === 'held' || answer[0] === 'waiting'
}
