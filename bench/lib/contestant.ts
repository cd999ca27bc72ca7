/** What everybody who takes part is like, and where the peers are. */
import { createRequire } from 'node:module'
import type { Lease, Locks } from 'holdfast'

export interface Locker {
  /** What it gives is handed to `release`. */
  acquire(): unknown
  release(held: unknown): unknown
}

export interface Contestant {
  locker(name: string): Locker
  /** Take all of `names` at once and give them back, where that is not the same as one after the other. */
  burst?(names: readonly string[]): unknown
  /** Hold a name for as long as the process lives, renewed by itself; where it can. */
  keep?(name: string, ttlMs: number): Promise<unknown>
  /** How long a name is held if nobody renews it, in milliseconds; where that is asked. */
  leftMs?(name: string): Promise<number>
  close(): unknown
}

/** Where those who share something find it. */
export interface Place {
  readonly directory: string
  /** Of the broker, for those who have one. */
  readonly socket: string
  /** Of the Redis server, for those who need one. */
  readonly port: number
  /** Of the members of etcd, for those who need them. */
  readonly endpoints: readonly string[]
}

export const peers: NodeJS.Require = createRequire(new URL('../peers/package.json', import.meta.url))

export function holdfast(locks: Locks): Contestant {
  return {
    locker(name) {
      const mutex = locks.mutex(name)
      return { acquire: () => mutex.acquire(), release: (held) => (held as Lease).release() }
    },
    close: () => locks.close(),
  }
}
