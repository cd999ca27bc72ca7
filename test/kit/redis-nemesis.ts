/** What goes wrong at a Redis server, and on the way to it. */
import type { Redis } from 'ioredis'
import type { Hand } from './hand.ts'
import { NAME } from './hand.ts'
import { Nemesis } from './nemesis.ts'
import type { RedisServer } from './redis.ts'
import { eventually } from '../../src/verify/torture/clock.ts'

/** The keys of the lock that all hands want. */
const HEAD = `holdfast:{lock:${NAME}}`

export class RedisNemesis extends Nemesis {
  #server: RedisServer
  #admin: Redis
  #frozen = false

  constructor(server: RedisServer, admin: Redis, hands: readonly Hand[]) {
    super(hands)
    this.#server = server
    this.#admin = admin
  }

  /** From now on it is this server that things happen to. */
  turnTo(server: RedisServer, admin: Redis): void {
    this.#server = server
    this.#admin = admin
  }

  // Wires

  /** What it asks by this verb next does not arrive until the wire is healed. Resolves when it has asked. */
  stall(hand: Hand, verb: 'join' | 'renew' | 'leave'): Promise<void> {
    this.note(`stall ${verb} of ${hand.worker.name}`)
    // Alone it is a word of the request, with others it is in a list.
    return hand.wire.stall(new RegExp(`\\["${verb}"|\r\n${verb}\r\n`), 'up')
  }

  /** The next message that says that it holds does not arrive until the wire is healed. */
  stallWake(hand: Hand): Promise<void> {
    this.note(`stall a wake of ${hand.worker.name}`)
    return hand.wire.stall(/\bmessage\r\n[^]*:inbox:/, 'down')
  }

  // The server

  freeze(): void {
    this.note('freeze')
    this.#frozen = true
    this.#server.freeze()
  }

  thaw(): void {
    this.note('thaw')
    this.#frozen = false
    this.#server.thaw()
  }

  /** Killed, and started again with what is on its disk. */
  async restart(): Promise<void> {
    this.note('restart')
    await this.forgets(async () => {
      await this.#server.kill()
      await this.#server.start()
    })
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
    this.note(`pause writes for ${ms} ms`)
    await this.#admin.call('CLIENT', 'PAUSE', String(ms), 'WRITE')
  }

  async flush(): Promise<void> {
    this.note('flush')
    await this.forgets(() => this.#admin.flushall())
  }

  async scriptFlush(): Promise<void> {
    this.note('script flush')
    await this.#admin.script('FLUSH')
  }

  /** All keys of the lock are deleted by a stranger. */
  async remove(): Promise<void> {
    this.note('remove')
    await this.forgets(() => this.#admin.del(HEAD, `${HEAD}:order`, `${HEAD}:ends`, `${HEAD}:seats`))
  }

  /** The head of the lock is somebody else's from now on. */
  async overwrite(): Promise<void> {
    this.note('overwrite')
    await this.#admin.del(HEAD)
    await this.#admin.lpush(HEAD, 'mine')
  }

  async memoryFull(policy = 'noeviction'): Promise<void> {
    this.note(`memory full, ${policy}`)
    await this.#admin.config('SET', 'maxmemory-policy', policy)
    await this.#admin.config('SET', 'maxmemory', '1')
  }

  async memoryFree(): Promise<void> {
    this.note('memory free')
    await this.#admin.config('SET', 'maxmemory', '0')
  }

  /** The server forgets the lock, as others fill its memory and it may evict what it likes. */
  async evict(): Promise<void> {
    this.note('evict')
    await this.#admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await this.#admin.config('SET', 'maxmemory', '3mb')
    const fill = (n: number): Promise<unknown> => this.#admin.set(`filler:${n}`, 'x'.repeat(1000))
    for (let n = 0; (await this.#admin.exists(HEAD)) > 0; n += 100)
      await Promise.all(Array.from({ length: 100 }, (_, index) => fill(n + index)))
  }

  /** Those that carry messages, or the others. */
  async killConnections(type: 'pubsub' | 'normal'): Promise<void> {
    this.note(`kill connections, ${type}`)
    await this.#admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
  }

  override heal(): void {
    void super.heal()
    if (this.#frozen) this.#server.thaw()
    this.#frozen = false
  }
}
