/**
 * The data set of a Redis server, as far as the script of the queue has made it: one `Table` a name, to which the script is
 * shown equal on a real server (`test/redis/script.proc.test.ts`), and whom to tell.
 *
 * It is a state machine: a copy that was told the same calls at the same times is the same. So what a replica has is what its
 * primary was told, up to some point.
 */
import type { Claim, Entry, QueueView, Renewal, Standing } from '../../../src/backend.ts'
import type { Moment, Seat } from '../../../src/queue/table.ts'
import type { Table } from '../../../src/queue/table.ts'

/** What the script is asked for. Durations in milliseconds. */
export type Call = About &
  (
    | { readonly verb: 'join'; readonly entry: Entry; readonly address: Address }
    /** Whether it comes with what a queue of more than one takes, or with the head alone. */
    | { readonly verb: 'renew'; readonly ttlMs: number; readonly hasRoom: boolean }
    | { readonly verb: 'leave'; readonly lingerMs: number }
    | { readonly verb: 'lighten'; readonly weight: number }
    | { readonly verb: 'describe'; readonly info: string }
    | { readonly verb: 'evict'; readonly fence: number }
    | { readonly verb: 'follow'; readonly forMs: number }
  )

interface About {
  readonly name: string
  /** The owner token, of verbs that are about an entry. */
  readonly id: string
}

/** Where the process of an entry hears of it. */
export interface Address {
  readonly channel: string
  readonly tag: string
}

/** The answer to one call, as the backend has it from the script, but for the words. */
export type Said = Standing | Renewal | boolean | 'crowded'

/** Something that is published. */
export interface Message {
  readonly name: string
  /** The channel of a process; `undefined`: that of the name. */
  readonly address: Address | undefined
  /** This ticket holds. */
  readonly held: bigint | undefined
}

interface Shelf {
  readonly table: Table
  /** By owner token. */
  readonly addresses: Map<string, Address>
  followedUntil: number
  /** More lies there than a head: since there was more than one entry, until there is none. */
  crowded: boolean
}

/** What a head alone is enough for. */
const BY_HEAD: ReadonlySet<Call['verb']> = new Set(['join', 'renew', 'leave'])

export class Queues {
  readonly #table: typeof Table
  readonly #shelves: Map<string, Shelf>

  constructor(table: typeof Table, shelves: Map<string, Shelf> = new Map()) {
    this.#table = table
    this.#shelves = shelves
  }

  /**
   * Run the script. @param now the server's wall clock, in milliseconds with a fraction
   *
   * @param after called after each of its verbs
   * @returns what it publishes in the end
   */
  run(calls: readonly Call[], now: number, after?: (call: Call, said: Said) => void): Message[] {
    for (const call of calls) {
      const said = this.#carryOut(call, { monotonicMs: now, wallMs: now })
      after?.(call, said)
    }
    return [...new Set(calls.map(({ name }) => name))].flatMap((name) => this.#messages(name, now))
  }

  view(name: string, now: number): QueueView | undefined {
    const views = this.#shelves.get(name)?.table.view(name, { monotonicMs: now, wallMs: now })
    return views && [...views][0]
  }

  copy(): Queues {
    const copyOf = ({ table, addresses, ...others }: Shelf): Shelf => {
      return { table: this.#table.load(table.dump()), addresses: new Map(addresses), ...others }
    }
    return new Queues(this.#table, new Map([...this.#shelves].map(([name, shelf]) => [name, copyOf(shelf)])))
  }

  #carryOut(call: Call, now: Moment): Said {
    const shelf = this.#shelf(call.name)
    if (call.verb === 'renew' && !call.hasRoom && shelf.crowded) return 'crowded'
    const said = this.#do(call, shelf, now)
    const entries = shelf.table.queue(call.name)?.seats.length ?? 0
    shelf.crowded = entries > 0 && (shelf.crowded || entries > 1 || !BY_HEAD.has(call.verb))
    return said
  }

  #do(call: Call, shelf: Shelf, now: Moment): Said {
    const { name, id } = call
    const claim: Claim = { name, id }
    const { table, addresses } = shelf
    switch (call.verb) {
      case 'join': {
        const standing = table.join(call.entry, now)
        if (call.address.channel !== '' && table.seat(id)) addresses.set(id, call.address)
        // Whoever comes to hold by its own join is told so by the answer alone.
        if (standing.state === 'held') forget(table.granted, id)
        return standing
      }
      case 'renew':
        return table.renew(claim, call.ttlMs, now)
      case 'leave':
        return table.leave(claim, now, call.lingerMs)
      case 'lighten':
        return table.lighten(claim, call.weight, now)
      case 'describe':
        return table.describe(claim, call.info, now)
      case 'evict':
        return table.evict(name, call.fence, now)
      case 'follow':
        shelf.followedUntil = Math.max(shelf.followedUntil, now.wallMs + call.forMs)
        return true
    }
  }

  /** What the last call has to tell. */
  #messages(name: string, now: number): Message[] {
    const { table, addresses, followedUntil } = this.#shelf(name)
    table.shifted.length = 0
    const wake = ({ id, fence }: Seat, holds: boolean): Message[] => {
      const address = addresses.get(id)
      return address ? [{ name, address, held: holds ? BigInt(fence) : undefined }] : []
    }
    const messages = [
      ...table.sooner.splice(0).flatMap((seat) => wake(seat, false)),
      ...table.granted.splice(0).flatMap((seat) => wake(seat, true)),
    ]
    const followed = table.changed.size > 0 && followedUntil > now
    table.changed.clear()
    for (const id of addresses.keys()) if (!table.seat(id)) addresses.delete(id)
    return followed ? [...messages, { name, address: undefined, held: undefined }] : messages
  }

  #shelf(name: string): Shelf {
    let shelf = this.#shelves.get(name)
    if (!shelf) {
      shelf = { table: new this.#table(), addresses: new Map(), followedUntil: 0, crowded: false }
      this.#shelves.set(name, shelf)
    }
    return shelf
  }
}

function forget(seats: Seat[], id: string): void {
  const index = seats.findIndex((seat) => seat.id === id)
  if (index >= 0) seats.splice(index, 1)
}
