/** What Redis servers were heard to carry out: those calls of a script by which something was written. */
import { Redis } from 'ioredis'
import { eventually, machineNow } from '../../src/verify/torture/clock.ts'
import type { Command, Monitor } from './monitor.ts'
import { monitor } from './monitor.ts'

export interface Carried {
  /** What the script was given. Read when it is wanted. */
  readonly given: () => { readonly keys: readonly string[]; readonly args: readonly string[] }
  /** When it was called, and by when the script had read the clock: by that clock, in microseconds. */
  readonly calledAt: number
  readBy: number
  wrote: boolean
}

const WRITES = new Set(['set', 'setrange', 'del', 'zadd', 'zrem', 'hset', 'hdel'])

export class Ear {
  readonly carried: Carried[] = []
  /** From the server's clock to that of the history, in milliseconds: what is heard at once tells it best. */
  offsetMs = Infinity
  readonly #port: number
  readonly #mark: string
  #monitor: Monitor | undefined
  #current: Carried | undefined
  #lastAt = 0
  /** Its clock went back, so that nothing it said has a time. */
  #isTurned = false
  #hasMark = false

  private constructor(port: number) {
    this.#port = port
    this.#mark = `log of ${port}`
  }

  static async open(port: number): Promise<Ear> {
    const ear = new Ear(port)
    ear.#monitor = await monitor(port, (command) => ear.#hear(command))
    return ear
  }

  /** Whether all of it was heard, until now. */
  async heardAll(): Promise<boolean> {
    if (!this.#monitor!.lost) await say(this.#port, this.#mark)
    await eventually(() => this.#hasMark || this.#monitor!.lost, 'the end of the log')
    return !this.#monitor!.lost && !this.#isTurned
  }

  end(): void {
    this.#monitor?.end()
  }

  #hear(command: Command): void {
    const { at, inner, name } = command
    this.#isTurned ||= at < this.#lastAt
    this.#lastAt = at
    this.offsetMs = Math.min(this.offsetMs, machineNow() - at / 1000)
    const current = this.#current
    if (!inner) this.#current = this.#outer(command)
    else if (current && name === 'time') current.readBy = at
    else if (current && !current.wrote && WRITES.has(name)) {
      // Of a script that the server did not know, or had no memory for, nothing follows.
      current.wrote = true
      this.carried.push(current)
    }
  }

  #outer({ at, name, words }: Command): Carried | undefined {
    if (name === 'ping') this.#hasMark ||= words()[1] === this.#mark
    if (name !== 'evalsha' && name !== 'eval') return undefined
    return { given: () => givenBy(words()), calledAt: at, readBy: at, wrote: false }
  }
}

/** Several of them. */
export class Ears {
  readonly all: readonly Ear[]

  private constructor(all: readonly Ear[]) {
    this.all = all
  }

  static async open(ports: readonly number[]): Promise<Ears> {
    return new Ears(await Promise.all(ports.map((port) => Ear.open(port))))
  }

  async heardAll(): Promise<boolean> {
    return (await Promise.all(this.all.map((ear) => ear.heardAll()))).every(Boolean)
  }

  end(): void {
    for (const ear of this.all) ear.end()
  }
}

/** Of `evalsha`, the script, how many keys, the keys, and the rest. */
function givenBy([, , count, ...rest]: readonly string[]): ReturnType<Carried['given']> {
  return { keys: rest.slice(0, Number(count)), args: rest.slice(Number(count)) }
}

/** A word that changes nothing, on a connection of its own. */
async function say(port: number, mark: string): Promise<void> {
  const client = new Redis(port)
  await client.ping(mark)
  client.disconnect()
}
