/** What goes wrong, one word each: with processes, on wires, with a server. All of it is written into the history. */
import type { Redis } from 'ioredis'
import type { Event } from '../../src/verify/history.ts'
import type { Hand } from './hand.ts'
import { NAME } from './hand.ts'
import type { Way } from './proxy.ts'
import type { RedisServer } from './redis.ts'
import { machineNow } from './worker.ts'
import { eventually } from './workers.ts'

/** The keys of the lock that all hands want. */
const HEAD = `holdfast:{lock:${NAME}}`

export class Nemesis {
  readonly events: Event[] = []
  #server: RedisServer
  #admin: Redis
  readonly #hands: readonly Hand[]
  readonly #stopped = new Set<Hand>()
  #frozen = false

  constructor(server: RedisServer, admin: Redis, hands: readonly Hand[]) {
    this.#server = server
    this.#admin = admin
    this.#hands = hands
  }

  /** From now on it is this server that things happen to. */
  turnTo(server: RedisServer, admin: Redis): void {
    this.#server = server
    this.#admin = admin
  }

  // Processes

  async pause(hand: Hand): Promise<void> {
    this.#note(`pause ${hand.worker.name}`)
    this.#stopped.add(hand)
    await hand.worker.stop()
  }

  resume(hand: Hand): void {
    this.#note(`resume ${hand.worker.name}`)
    this.#stopped.delete(hand)
    hand.worker.continue()
  }

  /** It computes for so long, and neither timers nor sockets get their turn. */
  async block(hand: Hand, ms: number): Promise<void> {
    this.#note(`block ${hand.worker.name}`)
    const at = machineNow()
    await hand.worker.do((stage, ms) => stage.block(ms), ms)
    this.events.push({ kind: 'pause', process: hand.worker.name, at, until: machineNow(), asleep: false })
  }

  async kill(hand: Hand): Promise<void> {
    this.#note(`kill ${hand.worker.name}`)
    this.#stopped.delete(hand)
    await hand.worker.kill()
  }

  // Wires

  silence(hand: Hand, way: Way = 'both'): void {
    this.#note(`silence ${hand.worker.name} ${way}`)
    hand.wire.silence(way)
  }

  /** Both ways, with jitter. */
  slow(hand: Hand, ms: number): void {
    this.#note(`slow ${hand.worker.name} by ${ms} ms`)
    hand.wire.slow(ms, 'both', 0.5)
  }

  reset(hand: Hand): void {
    this.#note(`reset ${hand.worker.name}`)
    hand.wire.reset()
  }

  /** What it asks by this verb next does not arrive until the wire is healed. Resolves when it has asked. */
  stall(hand: Hand, verb: 'join' | 'renew' | 'leave'): Promise<void> {
    this.#note(`stall ${verb} of ${hand.worker.name}`)
    // Alone it is a word of the request, with others it is in a list.
    return hand.wire.stall(new RegExp(`\\["${verb}"|\r\n${verb}\r\n`), 'up')
  }

  /** The next message that says that it holds does not arrive until the wire is healed. */
  stallWake(hand: Hand): Promise<void> {
    this.#note(`stall a wake of ${hand.worker.name}`)
    return hand.wire.stall(/\bmessage\r\n[^]*:inbox:/, 'down')
  }

  /** It connects anew; what is stalled is still on its way. */
  hangUp(hand: Hand): void {
    this.#note(`hang up ${hand.worker.name}`)
    hand.wire.hangUp()
  }

  // The server

  freeze(): void {
    this.#note('freeze')
    this.#frozen = true
    this.#server.freeze()
  }

  thaw(): void {
    this.#note('thaw')
    this.#frozen = false
    this.#server.thaw()
  }

  /** Killed, and started again with what is on its disk. */
  async restart(): Promise<void> {
    this.#note('restart')
    await this.#server.kill()
    await this.#server.start()
    await eventually(
      () =>
        this.#admin.exists('x').then(
          () => true,
          () => false,
        ),
      'a server that serves',
    )
  }

  async pauseWrites(ms: number): Promise<void> {
    this.#note(`pause writes for ${ms} ms`)
    await this.#admin.call('CLIENT', 'PAUSE', String(ms), 'WRITE')
  }

  async flush(): Promise<void> {
    this.#note('flush')
    await this.#admin.flushall()
  }

  async scriptFlush(): Promise<void> {
    this.#note('script flush')
    await this.#admin.script('FLUSH')
  }

  /** All keys of the lock are deleted by a stranger. */
  async remove(): Promise<void> {
    this.#note('remove')
    await this.#admin.del(HEAD, `${HEAD}:order`, `${HEAD}:ends`, `${HEAD}:seats`)
  }

  /** The head of the lock is somebody else's from now on. */
  async overwrite(): Promise<void> {
    this.#note('overwrite')
    await this.#admin.del(HEAD)
    await this.#admin.lpush(HEAD, 'mine')
  }

  async memoryFull(policy = 'noeviction'): Promise<void> {
    this.#note(`memory full, ${policy}`)
    await this.#admin.config('SET', 'maxmemory-policy', policy)
    await this.#admin.config('SET', 'maxmemory', '1')
  }

  async memoryFree(): Promise<void> {
    this.#note('memory free')
    await this.#admin.config('SET', 'maxmemory', '0')
  }

  /** The server forgets the lock, as others fill its memory and it may evict what it likes. */
  async evict(): Promise<void> {
    this.#note('evict')
    await this.#admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await this.#admin.config('SET', 'maxmemory', '3mb')
    const fill = (n: number): Promise<unknown> => this.#admin.set(`filler:${n}`, 'x'.repeat(1000))
    for (let n = 0; (await this.#admin.exists(HEAD)) > 0; n += 100)
      await Promise.all(Array.from({ length: 100 }, (_, index) => fill(n + index)))
  }

  /** Those that carry messages, or the others. */
  async killConnections(type: 'pubsub' | 'normal'): Promise<void> {
    this.#note(`kill connections, ${type}`)
    await this.#admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
  }

  /** Something else, in its own words. */
  does<T>(what: string, act: () => T): T {
    this.#note(what)
    return act()
  }

  /** All is well again; what was kept back arrives. */
  heal(): void {
    this.#note('heal')
    if (this.#frozen) this.#server.thaw()
    this.#frozen = false
    for (const hand of this.#stopped) hand.worker.continue()
    this.#stopped.clear()
    for (const { wire } of this.#hands) wire.heal()
  }

  /** What was delayed has arrived, and all have been at work since. */
  healed(): void {
    this.events.push({ kind: 'healed', process: 'nemesis', at: machineNow() })
  }

  #note(what: string): void {
    this.events.push({ kind: 'fault', process: 'nemesis', at: machineNow(), what })
  }
}
