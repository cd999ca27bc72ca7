/**
 * Redis with replicas, in place of the one coordinator: a primary that others copy with a lag, and that loses its place or its
 * memory.
 *
 * The real backend speaks to it, over clients whose connections are simulated (`client.ts`). A failover promotes a replica that
 * lacks what had not arrived there; the old primary may go on answering some processes for a while, and comes back as a
 * replica. The diary is that of the primary.
 */
import type { SimulatedRuntime } from '../../../src/testing/simulated.ts'
import type { Recorder } from '../../../src/verify/history.ts'
import type { Look, Seen } from '../diary.ts'
import { Diary, lookAt } from '../diary.ts'
import type { Library } from '../library.ts'
import type { RedisFault, SiteFault } from '../plan.ts'
import type { Random } from '../random.ts'
import type { Caller, Excuse, Site, Ways } from '../site.ts'
import { Subscriptions } from '../site.ts'
import type { World } from '../wire.ts'
import { Wire } from '../wire.ts'
import { Connection } from './client.ts'
import type { RedisPlan } from './plan.ts'
import type { Call, Said } from './queues.ts'
import { Queues } from './queues.ts'
import { Reign } from './reign.ts'
import { Server } from './server.ts'

/** What the clocks of two servers may differ by when one takes over from the other: less than the smallest margin. */
const CLOCKS_AGREE_MS = 1

export class Servers implements Site {
  readonly subscriptions: Subscriptions = new Subscriptions()
  readonly violations: [] = []
  readonly excuses: Excuse[] = []
  fencesUntil = Infinity

  readonly #plan: RedisPlan
  readonly #names: readonly string[]
  readonly #library: Library
  readonly #world: World
  readonly #recorder: Recorder
  readonly #diary: Diary
  readonly #random: Random
  readonly #servers: readonly Server[]
  /** Processes that still speak to a server which is the primary for them alone. */
  readonly #astray = new Map<string, Server>()
  #primary: Server
  /** It is being replaced, or restarts: one thing at a time. */
  #inTrouble = false
  #struck = 0
  #lastFence = 0
  /** Its primary has lost something once. */
  #hasLost = false

  constructor(
    plan: RedisPlan,
    names: readonly string[],
    library: Library,
    clocks: readonly SimulatedRuntime[],
    random: Random,
    world: World,
    recorder: Recorder,
  ) {
    this.#plan = plan
    this.#names = names
    this.#library = library
    this.#world = world
    this.#recorder = recorder
    this.#random = random
    this.#diary = new Diary('primary', recorder)
    const behind = async (): Promise<void> => void world.wires.after(0, () => this.#strikeNext())
    this.#servers = plan.servers.map(
      (server, index) =>
        new Server(`server ${index + 1}`, server, new Queues(library.Table), clocks[index]!, behind, (...entry) =>
          this.#evict(...entry),
        ),
    )
    this.#primary = this.#servers[0]!
    this.#reign(this.#primary, this.#primary.queues)
    for (const other of this.#servers.slice(1)) this.#primary.reign!.follow(other, 0)
  }

  connect({ inbox, runtime, random, faults }: Caller): Ways {
    const { silenceMs, replicas, replicaTimeoutMs } = this.#plan
    const wire = new Wire(inbox, this.#world, random(3), faults, { silenceMs })
    const client = new Connection(this, wire)
    const backend = new this.#library.RedisBackend(client, { replicas, replicaTimeoutMs }, { runtime })
    return { backend, wires: [wire] }
  }

  strike(fault: SiteFault): void {
    const { atMs } = fault
    const server = this.#primary
    switch (fault.kind) {
      case 'evict': {
        const seen = this.#diary.entries(`lock:${fault.name}`)[atMs % 2 < 1 ? 0 : 1]
        this.#note('operator', `evict from ${fault.name}`)
        if (seen) this.#evict(server, `lock:${fault.name}`, seen.fence)
        return
      }
      case 'away':
        if (server.away) return
        this.#note(server.label, `away, ${fault.silent ? 'in silence' : 'with an error'}, for ${fault.forMs}`)
        server.away = fault.silent ? 'in silence' : 'with an error'
        return this.#later(fault.forMs, () => (server.away = undefined))
      case 'slow':
        this.#note(server.label, `slow by ${fault.byMs} for ${fault.forMs}`)
        server.slowMs = fault.byMs
        return this.#later(fault.forMs, () => (server.slowMs = 0))
      case 'failover':
        return this.#failover(fault)
      case 'restart':
        return this.#restart(fault)
      case 'flush':
        this.#note('operator', 'flush')
        return this.#begin(server, new Queues(this.#library.Table), this.#world.now(), true)
      case 'clock':
        return this.#jump(fault)
      case 'stall':
        return this.#stall(fault)
      default:
        return
    }
  }

  /** Nothing counts that the one which takes over has not got. */
  get #allHave(): boolean {
    return this.#plan.replicas >= this.#servers.length - 1
  }

  homeOf(process: string): Server {
    return this.#astray.get(baseOf(process)) ?? this.#primary
  }

  isInbox(channel: string): boolean {
    return channel.includes(':inbox:')
  }

  /** Carry out one call of the script. @throws Error that it is no primary */
  carryOut(server: Server, calls: readonly Call[]): { readonly said: readonly Said[]; readonly position: number } {
    const { reign, queues } = server
    if (!reign) throw new Error("READONLY You can't write against a read only replica.")
    const now = server.now()
    const isPrimary = server === this.#primary
    const said: Said[] = []
    const messages = queues.run(calls, now, (call, each) => {
      said.push(each)
      if (isPrimary) this.#writeDown(call, each)
      this.#lastFence = Math.max(this.#lastFence, Number(fenceOf(each) ?? 0))
    })
    const position = reign.write(calls, now, this.#world.now(), () => this.#plan.lagMs * this.#random.between(0.5, 1.5))
    for (const message of messages) {
      const { name, held } = message
      if (isPrimary && held !== undefined) this.#diary.told(name, held)
      const channel = message.address?.channel ?? `holdfast:{${name}}`
      for (const listener of server.listeners) listener.hear(channel, message)
    }
    return { said, position }
  }

  /** WAIT: how many replicas have what was written up to a position, when enough have it or time is up. */
  async wait(server: Server, position: number, count: number, timeoutMs: number): Promise<number> {
    const { epoch, reign } = server
    const until = this.#world.now() + timeoutMs
    for (;;) {
      const now = this.#world.now()
      if (!reign || server.epoch !== epoch) throw new Error('the connection was reset')
      const at = reign.whenAt(position, count)
      if (at <= now || now >= until) return reign.count(position, now)
      await new Promise<void>((resolve) => this.#world.wires.after(Math.min(at, until) - now, resolve))
    }
  }

  async entries(): Promise<number> {
    let count = 0
    for (const name of this.#names) {
      this.#look(name)
      count += this.#diary.entries(name).length
    }
    return count
  }

  /** What the plan has in store for what is right behind a message. */
  #strikeNext(): void {
    const { behind } = this.#plan
    const fault = behind[this.#struck % behind.length]
    this.#struck += 1
    if (fault && !this.#world.healed()) this.strike(fault)
  }

  /**
   * What has not arrived at the replica is lost. In a split view the old primary has lost its replicas, and goes on: at first for
   * everybody, and then for some.
   */
  #failover({ to, downMs, oldMs, stay }: Extract<RedisFault, { kind: 'failover' }>): void {
    const old = this.#primary
    if (this.#inTrouble || old.away) return
    const candidates = old.reign!.replicas.filter(({ away }) => !away)
    const heir = candidates.find((each) => each === this.#servers[to]) ?? candidates[0]
    if (!heir) return
    this.#inTrouble = true
    const { queues, lacks } = old.reign!.dataOf(heir, this.#world.now())
    const splits = stay.length > 0
    const loses = lacks > 0 || splits
    this.#note(old.label, `${splits ? 'is cut off from' : 'fails over to'} ${heir.label}, which lacks ${lacks}`)
    if (splits) for (const replica of old.reign!.replicas) old.reign!.stall(replica, this.#world.now(), Infinity)
    else this.#end(old)
    this.#later(downMs, () => {
      const aheadMs = heir.now() - old.now()
      this.#primary = heir
      const until = splits ? this.#soonest(oldMs) : this.#world.now()
      this.#begin(heir, queues, until, aheadMs > CLOCKS_AGREE_MS || (loses && !this.#allHave), old)
      // Both draw fences, each by its clock.
      if (splits && Math.abs(aheadMs) > CLOCKS_AGREE_MS) this.#fencesMayFall()
      this.#note(heir.label, `is the primary${splits ? `, and for ${stay.join()} it is not until ${until}` : ''}`)
      if (splits) for (const process of stay) this.#astray.set(process, old)
      if (splits) this.#moveListeners(old, stay)
      this.#later(oldMs, () => {
        this.#astray.clear()
        this.#inTrouble = false
        this.#end(old)
        this.#back(old)
      })
    })
  }

  #restart({ downMs, keeps }: Extract<RedisFault, { kind: 'restart' }>): void {
    const server = this.#primary
    if (this.#inTrouble || server.away) return
    this.#inTrouble = true
    this.#note(server.label, `restarts ${keeps ? 'with' : 'without'} its data`)
    const { queues } = server
    const replicas = server.reign!.replicas
    this.#end(server)
    this.#later(downMs, () => {
      this.#inTrouble = false
      server.away = undefined
      if (keeps) this.#reign(server, queues)
      else this.#begin(server, new Queues(this.#library.Table), this.#world.now(), true)
      for (const replica of replicas) this.#followLater(replica)
    })
  }

  #jump({ server: index, byMs }: Extract<RedisFault, { kind: 'clock' }>): void {
    const server = this.#servers[index % this.#servers.length]!
    this.#note(server.label, `its clock jumps by ${byMs}`)
    server.jump(byMs)
    if (server !== this.#primary) return
    // What lingers does so for as much longer; nobody was promised an end of that.
    this.#lookAtClock()
    if (byMs > 0) return this.#lose(this.#world.now(), true)
    this.#diary.clockSetBack(-byMs / server.rate)
    // A server looks for what has ended only when it is asked. Until then its clock may come back, and nothing has ended.
    if (this.#names.some((name) => this.#isBack(name))) this.#lose(this.#world.now(), false)
  }

  /** Somebody is there who had been written down as gone. */
  #isBack(name: string): boolean {
    const known = new Set(this.#diary.entries(name).map(({ fence }) => fence))
    return entriesOf(this.#primary, name).some(({ fence }) => !known.has(fence))
  }

  #stall({ server: index, forMs }: Extract<RedisFault, { kind: 'stall' }>): void {
    const server = this.#servers[index % this.#servers.length]!
    this.#note(server.label, `hears nothing of the primary for ${forMs}`)
    this.#primary.reign?.stall(server, this.#world.now(), this.#soonest(forMs))
  }

  /** From now on this is the primary, and this is what it has. @param until the old one goes on until then */
  #begin(server: Server, queues: Queues, until: number, excused: boolean, old?: Server): void {
    const replicas = server.reign?.replicas ?? []
    server.queues = queues
    this.#reign(server, queues)
    for (const replica of replicas) server.reign!.follow(replica, this.#world.now())
    for (const other of this.#servers) if (other !== server && other !== old) this.#followLater(other)
    this.#hasLost = true
    this.#lookAtClock()
    this.#lose(until, excused, old)
  }

  /** Fences grow unless both are gone: what was known of the last one, and the time since. */
  #lookAtClock(): void {
    if (this.#hasLost && this.#primary.now() * 1000 <= this.#lastFence) this.#fencesMayFall()
  }

  #fencesMayFall(): void {
    this.fencesUntil = Math.min(this.fencesUntil, this.#world.now())
  }

  #reign(server: Server, queues: Queues): void {
    server.reign = new Reign(queues)
  }

  /** It is no primary any more. */
  #end(server: Server): void {
    server.reign = undefined
    server.away = 'with an error'
    server.disconnect()
  }

  #back(server: Server): void {
    server.away = undefined
    this.#followLater(server)
  }

  /** It copies everything, and follows from then on. While the primary is down, it tries again. */
  #followLater(server: Server): void {
    this.#world.wires.after(this.#plan.resyncMs, () => {
      const { reign } = this.#primary
      if (server === this.#primary || server.away || reign?.replicas.includes(server)) return
      if (!reign) return this.#followLater(server)
      reign.follow(server, this.#world.now())
    })
  }

  /** Those that do not stay with the old primary connect to the new one. */
  #moveListeners(old: Server, stay: readonly string[]): void {
    for (const listener of old.listeners) {
      if (stay.includes(baseOf(listener.process))) continue
      old.listeners.delete(listener)
      listener.disconnected()
    }
  }

  /** Entries are not there any more, or are there again. @param old who may have more, until it is over with it */
  #lose(until: number, excused: boolean, old?: Server): void {
    const now = this.#world.now()
    if (excused) this.excuses.push({ at: now, until })
    // What happens then may be written down a moment later.
    const by = Math.ceil(until)
    const gone = this.#names.map((name) => [name, this.#diary.forgot(name, by, this.#lookOf(name))] as const)
    const end = (): void => {
      for (const [name, known] of gone) {
        const there = new Set(this.#diary.entries(name).map(({ fence }) => fence))
        const all = [...known, ...(old ? entriesOf(old, name) : [])]
        for (const [fence, seen] of new Map(all.map((each) => [each.fence, each])))
          if (!there.has(fence)) this.#diary.left(name, seen)
      }
    }
    if (until > now) this.#world.wires.after(until - now, end)
    else end()
  }

  #evict(server: Server, name: string, fence: bigint): void {
    if (server !== this.#primary || server.away) return
    const seen = this.#diary.entries(name).find((each) => each.fence === fence)
    if (!seen) return
    this.#diary.evicted(name, seen)
    this.carryOut(server, [{ verb: 'evict', name, id: '', fence: Number(fence) }])
  }

  #writeDown({ name }: Call, said: Said): void {
    this.#look(name)
    if (said !== 'crowded') this.#diary.answered(name, said)
  }

  #look(name: string): void {
    this.#diary.look(name, this.#lookOf(name))
  }

  #lookOf(name: string): Look | undefined {
    const { queues, rate } = this.#primary
    return lookAt(queues.view(name, this.#primary.now()), this.#world.now(), rate)
  }

  /** After so long, or when all faults are over. */
  #later(ms: number, what: () => void): void {
    this.#world.wires.after(this.#soonest(ms) - this.#world.now(), what)
  }

  #soonest(ms: number): number {
    const now = this.#world.now()
    return Math.max(now, Math.min(now + ms, this.#world.faultsUntilMs))
  }

  #note(who: string, what: string): void {
    this.#recorder.note(who, { kind: 'fault', what })
  }
}

/** A process that has died is followed by another in its place. */
function baseOf(process: string): string {
  return process.split('/', 1)[0]!
}

function fenceOf(said: Said): bigint | undefined {
  return typeof said === 'object' && 'fence' in said ? said.fence : undefined
}

function entriesOf(server: Server, name: string): Seen[] {
  const look = lookAt(server.queues.view(name, server.now()), 0, 1)
  return look ? [...look.holders, ...look.waiters] : []
}
