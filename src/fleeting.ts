/**
 * A set and a map for members that come and go by the thousand, in something that lives long.
 *
 * A table that V8 has outgrown points to the one that took its place, and keeps what it held at that time. Once the first of
 * them is old, the chain keeps everything that was ever in a set or map alive until a full collection: a quarter of the time
 * of 64 pairs of acquire and release went into copying what was over. So the chain is cut, by a new set every so often.
 */

/** So many deletions, and as many as there are members left, pay for a new one. */
const DELETED_MAX = 256

export class FleetingSet<T> {
  #members = new Set<T>()
  #deleted = 0

  get size(): number {
    return this.#members.size
  }

  has(member: T): boolean {
    return this.#members.has(member)
  }

  add(member: T): void {
    this.#members.add(member)
  }

  delete(member: T): boolean {
    if (!this.#members.delete(member)) return false
    this.#deleted += 1
    if (this.#deleted > DELETED_MAX + this.#members.size) {
      this.#members = new Set(this.#members)
      this.#deleted = 0
    }
    return true
  }

  /** The members of this moment. */
  all(): T[] {
    return [...this.#members]
  }
}

export class FleetingMap<K, V> {
  #entries = new Map<K, V>()
  #deleted = 0

  get size(): number {
    return this.#entries.size
  }

  get(key: K): V | undefined {
    return this.#entries.get(key)
  }

  set(key: K, value: V): void {
    this.#entries.set(key, value)
  }

  delete(key: K): boolean {
    if (!this.#entries.delete(key)) return false
    this.#deleted += 1
    if (this.#deleted > DELETED_MAX + this.#entries.size) {
      this.#entries = new Map(this.#entries)
      this.#deleted = 0
    }
    return true
  }

  clear(): void {
    this.#entries = new Map()
  }

  /** The keys of this moment. */
  keys(): K[] {
    return [...this.#entries.keys()]
  }

  /** The values of this moment. */
  values(): V[] {
    return [...this.#entries.values()]
  }
}
