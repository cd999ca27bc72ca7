/**
 * Who wants to hear of what: the wakes of entries and the followers of names, inside one process.
 *
 * A table collects what a verb changed; `announce` tells those who asked. Wake functions do not throw; they may call the
 * backend again at once.
 */
import type { Wake } from '../backend.ts'
import { FleetingMap } from '../fleeting.ts'
import type { Table } from './table.ts'

export class Wakes {
  readonly #entries = new FleetingMap<string, readonly Wake[]>()
  readonly #names = new FleetingMap<string, readonly (() => void)[]>()

  /** Whether anybody waits for anything. */
  get idle(): boolean {
    return this.#entries.size === 0 && this.#names.size === 0
  }

  /** The ids of the entries that are watched. */
  watched(): string[] {
    return this.#entries.keys()
  }

  isWatched(id: string): boolean {
    return this.#entries.get(id) !== undefined
  }

  watch(id: string, wake: Wake): () => void {
    return subscribe(this.#entries, id, wake)
  }

  follow(name: string, wake: () => void): () => void {
    return subscribe(this.#names, name, wake)
  }

  announce(table: Table): void {
    table.shifted.length = 0
    for (const { id } of table.sooner.splice(0)) this.wake(id)
    for (const { id, fence } of table.granted.splice(0)) this.wake(id, { held: BigInt(fence) })
    if (table.changed.size > 0) {
      const changed = [...table.changed]
      table.changed.clear()
      for (const name of changed) this.change(name)
    }
  }

  wake(id: string, news?: { readonly held: bigint }): void {
    for (const wake of this.#entries.get(id) ?? []) wake(news)
  }

  change(name: string): void {
    for (const wake of this.#names.get(name) ?? []) wake()
  }

  /** Everybody asks again: what they missed cannot be told. */
  wakeAll(): void {
    for (const wakes of this.#entries.values()) for (const wake of wakes) wake()
    for (const wakes of this.#names.values()) for (const wake of wakes) wake()
  }

  clear(): void {
    this.#entries.clear()
    this.#names.clear()
  }
}

/** Lists are replaced and not changed: whoever is being told may subscribe and unsubscribe. */
function subscribe<T>(all: FleetingMap<string, readonly T[]>, key: string, wake: T): () => void {
  const others = all.get(key)
  all.set(key, others ? [...others, wake] : [wake])
  let done = false
  return () => {
    if (done) return
    done = true
    const wakes = all.get(key) ?? []
    if (wakes.length > 1) all.set(key, wakes.toSpliced(wakes.indexOf(wake), 1))
    else if (wakes[0] === wake) all.delete(key)
  }
}
