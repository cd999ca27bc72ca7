/**
 * Other libraries, so that the same torture can be pointed at them: what they tell their users is all that is judged.
 *
 * Neither has fences; what stands in their place here only names a hold. Neither says until when a lease may be believed in, so
 * their user believes until being told, or until it releases.
 */
import { createRequire } from 'node:module'
import { Redis } from 'ioredis'
import { machineNow } from '../../src/verify/torture/clock.ts'
import type { Locking } from '../../src/verify/torture/workloads.ts'

/** Installed by what starts the trial, at the versions of the benchmarks. */
const peers = createRequire(new URL('../../bench/peers/package.json', import.meta.url))

interface Place {
  readonly url: string
  readonly ttlMs: number
}

/** Until told: longer than any trial. */
const UNTOLD_MS = 1e9
/** How often they ask again, and for how long: without an order, somebody may never have its turn. */
const AGAIN_MS = 10
const WAIT_MS = 20_000

class Told extends Error {
  readonly code = 'LEASE_LOST'
  readonly reason = 'told'
}

class Lease {
  readonly name: string
  readonly fence = BigInt(Math.round(machineNow() * 1000))
  readonly remainingMs = UNTOLD_MS
  readonly signal: AbortSignal
  readonly #giveBack: () => Promise<unknown>

  constructor(name: string, signal: AbortSignal, giveBack: () => Promise<unknown>) {
    this.name = name
    this.signal = signal
    this.#giveBack = giveBack
  }

  assertHeld(): void {
    if (this.signal.aborted) throw new Told('it was told that it is lost')
  }

  async release(): Promise<'released' | 'gone'> {
    return this.#giveBack().then(
      () => 'released',
      () => 'gone',
    )
  }
}

type Acquire = (name: string) => Promise<Lease>

/** Only what is exclusive is asked of them. */
function locking(acquire: Acquire, close: () => void): Locking {
  return { acquire, close: async () => close() } as unknown as Locking
}

function clientAt(url: string): Redis {
  const client = new Redis(url)
  client.on('error', () => {})
  return client
}

/** `using`, which renews by itself and hands out a signal. */
function redlock({ url, ttlMs }: Place): Locking {
  interface Redlock {
    using(names: string[], ttlMs: number, use: (signal: AbortSignal) => Promise<void>): Promise<void>
    on(event: 'error', listener: () => void): void
  }
  const { default: Class } = peers('redlock') as { default: new (clients: Redis[], options: object) => Redlock }
  const client = clientAt(url)
  const locks = new Class([client], {
    retryCount: WAIT_MS / AGAIN_MS,
    retryDelay: AGAIN_MS,
    retryJitter: 0,
    automaticExtensionThreshold: ttlMs / 2,
  })
  locks.on('error', () => {})
  const acquire: Acquire = (name) =>
    new Promise((resolve, reject) => {
      let finish = (): void => {}
      const finished = new Promise<void>((done) => (finish = done))
      const using = locks.using([name], ttlMs, (signal) => {
        const told = new AbortController()
        signal.addEventListener('abort', () => told.abort(new Told('extend was refused')))
        const giveBack = (): Promise<void> => {
          finish()
          return using
        }
        resolve(new Lease(name, told.signal, giveBack))
        return finished
      })
      using.catch(reject)
    })
  return locking(acquire, () => client.disconnect())
}

/** A mutex that renews by itself, and calls `onLockLost`. */
function redisSemaphore({ url, ttlMs }: Place): Locking {
  interface Mutex {
    acquire(): Promise<void>
    release(): Promise<void>
  }
  const { Mutex } = peers('redis-semaphore') as { Mutex: new (client: Redis, key: string, options: object) => Mutex }
  const client = clientAt(url)
  const acquire: Acquire = async (name) => {
    const told = new AbortController()
    const onLockLost = (): void => told.abort(new Told('onLockLost was called'))
    const mutex = new Mutex(client, name, {
      lockTimeout: ttlMs,
      acquireTimeout: WAIT_MS,
      retryInterval: AGAIN_MS,
      onLockLost,
    })
    await mutex.acquire()
    return new Lease(name, told.signal, () => mutex.release())
  }
  return locking(acquire, () => client.disconnect())
}

export const LIBRARIES: Readonly<Record<string, (place: Place) => Locking>> = {
  redlock,
  'redis-semaphore': redisSemaphore,
}
