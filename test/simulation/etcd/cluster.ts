/**
 * A cluster of etcd, in place of the one coordinator: members that answer while there is a leader, leases that end by its
 * clock, watches, and a leader that changes, or stands still and comes back.
 *
 * The real backend and its client speak to it, over simulated connections (`channel.ts`). Consensus is taken for granted: what
 * is carried out is carried out once, at one instant, and every member knows. The diary is that of the keys.
 */
import { holdersOf, placeOf } from '../../../src/backends/etcd/copy.ts'
import type { Place } from '../../../src/backends/etcd/copy.ts'
import { GRPC } from '../../../src/backends/etcd/errors.ts'
import { Naming } from '../../../src/backends/etcd/keys.ts'
import type {
  KeyValue,
  LeaseGrantRequest,
  LeaseRequest,
  ResponseHeader,
  WatchRequest,
  WatchResponse,
} from '../../../src/backends/etcd/messages.ts'
import { DELETE, LEASE_GRANT, LEASE_REVOKE, RANGE, TXN } from '../../../src/backends/etcd/messages.ts'
import type { Timer } from '../../../src/runtime.ts'
import type { SimulatedRuntime } from '../../../src/testing/simulated.ts'
import type { Recorder } from '../../../src/verify/history.ts'
import type { Look, Seen } from '../diary.ts'
import { Diary, labelOf } from '../diary.ts'
import type { Library } from '../library.ts'
import type { EtcdFault, SiteFault } from '../plan.ts'
import type { Random } from '../random.ts'
import type { Caller, Excuse, Site, Ways } from '../site.ts'
import { Subscriptions } from '../site.ts'
import type { Fate, Inbox, World } from '../wire.ts'
import { Wire } from '../wire.ts'
import type { MemberSide } from './channel.ts'
import { SimulatedChannel } from './channel.ts'
import type { Change, KeyRange } from './keys.ts'
import { Keys, Refusal, within } from './keys.ts'
import { Leases } from './leases.ts'
import { Member } from './member.ts'
import type { EtcdPlan } from './plan.ts'

/** What is told of a revision that is over already comes with the next beat of a slow ticker. */
const CATCH_UP_MS = 100
/** A watch hears from a member what the cluster has agreed on, up to so much later. */
const APPLIED_MS = 3
/** How soon a leader that stood still acts on what it knew, and for how long it believes that it leads. */
const BELIEVES_MS = [1, 30] as const

/** The answer to a call, or the error that the server says. */
export interface Served {
  readonly answer?: unknown
  readonly error?: Refusal
}

interface Watcher {
  readonly side: MemberSide
  readonly member: Member
  readonly id: number
  readonly range: KeyRange
  readonly isIn: (key: string) => boolean
  /** It has to be told first of what is over. */
  isLate: boolean
  readonly end: () => void
}

interface KnownEntry {
  readonly place: Place
  readonly seen: Seen
  readonly madeAt: number
}

const NO_BYTES = Buffer.alloc(0)
const EVERYTHING: KeyRange = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) }

export class Cluster implements Site {
  readonly subscriptions: Subscriptions = new Subscriptions()
  readonly violations: [] = []
  readonly excuses: Excuse[] = []
  readonly fencesUntil: number = Infinity

  readonly #plan: EtcdPlan
  readonly #library: Library
  readonly #world: World
  readonly #recorder: Recorder
  readonly #random: Random
  readonly #diary: Diary
  readonly #naming = new Naming('holdfast', false)
  readonly #members: readonly Member[]
  readonly #leases: Leases
  readonly #keys: Keys
  readonly #wellFromMs: number
  readonly #watchers = new Set<Watcher>()
  /** Streams that end when their member has had no leader for a while. */
  readonly #streams = new Map<MemberSide, Member>()
  /** The keep-alives of a stream, one after the other. */
  readonly #beats = new WeakMap<MemberSide, Promise<void>>()
  /** What stands in a key, for as long as it does not change. */
  readonly #entries = new WeakMap<KeyValue, KnownEntry>()
  readonly #inboxes = new Map<string, Inbox>()
  #leader: Member | undefined
  /** Something happens to the leader: one thing at a time. */
  #inTrouble = false
  #led!: () => void
  #untilLed: Promise<void> = new Promise((resolve) => (this.#led = resolve))
  /** What goes now is written down as forgotten. */
  #forgets = false
  #expiryAt = Infinity
  #expiry: Timer | undefined
  #struck = 0

  constructor(
    plan: EtcdPlan,
    library: Library,
    clocks: readonly SimulatedRuntime[],
    random: Random,
    world: World,
    recorder: Recorder,
    wellFromMs: number,
  ) {
    this.#plan = plan
    this.#wellFromMs = wellFromMs
    this.#library = library
    this.#world = world
    this.#recorder = recorder
    this.#random = random
    this.#diary = new Diary('cluster', recorder)
    const behind = (): void => void world.wires.after(0, () => this.#strikeNext())
    this.#members = plan.members.map(({ drift }, index) => new Member(index + 1, drift, clocks[index]!, behind))
    this.#leases = new Leases(plan.electionMs)
    this.#keys = new Keys(
      (id) => this.#leases.has(id),
      (change) => this.#changed(change),
    )
    this.#leader = this.#members[0]
  }

  connect({ inbox, runtime, random, faults }: Caller): Ways {
    const { silenceMs, callMs, lease } = this.#plan
    this.#inboxes.set(inbox.process, inbox)
    const wires = this.#members.map((_, index) => {
      const own = faults.filter(({ node }) => node === undefined || node === index)
      return new Wire(inbox, this.#world, random(3, index), own, { silenceMs })
    })
    const open = (endpoint: string, _: object, connectMs: number): SimulatedChannel => {
      const index = this.#members.findIndex((member) => member.endpoint === endpoint)
      const member = this.#members[index]!
      const channel = new SimulatedChannel(this, member, this.#library.EtcdError, wires[index]!, runtime, connectMs)
      member.channels.add(channel)
      return channel
    }
    const endpoints = this.#members.map(({ endpoint }) => endpoint)
    const client = new this.#library.EtcdClient({ endpoints, callMs }, { runtime, open })
    return { backend: new this.#library.EtcdBackend(client, { lease }, true), wires }
  }

  strike(fault: SiteFault): void {
    switch (fault.kind) {
      case 'evict':
        return this.#evict(`lock:${fault.name}`, fault.atMs % 2 < 1 ? 0 : 1)
      case 'away': {
        const member = this.#members[fault.node % this.#members.length]!
        if (member.away || member.frozen) return
        if (member === this.#leader && !fault.silent)
          return this.#elect({ kind: 'election', atMs: fault.atMs, gapMs: this.#plan.electionMs, downMs: fault.forMs })
        this.#note(member.label, `away, ${fault.silent ? 'in silence' : 'with an error'}, for ${fault.forMs}`)
        if (fault.silent) member.away = 'in silence'
        else member.die()
        return this.#later(fault.forMs, () => (member.away = undefined))
      }
      case 'slow': {
        const member = this.#members[fault.node % this.#members.length]!
        this.#note(member.label, `slow by ${fault.byMs} for ${fault.forMs}`)
        member.slowMs = fault.byMs
        return this.#later(fault.forMs, () => (member.slowMs = 0))
      }
      case 'election':
        return this.#elect(fault)
      case 'freeze':
        return this.#freeze(fault)
      case 'restart':
        return this.#restart(fault)
      case 'compact':
        this.#note('operator', `compacts up to revision ${this.#keys.revision}`)
        if (fault.resets) for (const member of this.#members) for (const channel of member.channels) channel.reset()
        return this.#keys.compact()
      default:
        return
    }
  }

  /** A call, once there is a leader to carry it out. */
  async serve(member: Member, path: string, message: object): Promise<Served> {
    const leader = await this.#leaderFor(member)
    try {
      return { answer: this.#carryOut(leader, path, message) }
    } catch (error) {
      if (error instanceof Refusal) return { error }
      throw error
    }
  }

  /** A stream was opened. A member without a leader does not take it. */
  opened(side: MemberSide, member: Member): void {
    this.#streams.set(side, member)
    if (!this.#leader) this.#endStream(side)
  }

  closed(side: MemberSide): void {
    this.#streams.delete(side)
    for (const watcher of this.#watchers) if (watcher.side === side) this.#unwatch(watcher)
  }

  /** A keep-alive. Those of a stream are answered one after the other. */
  beat(side: MemberSide, member: Member, { id = 0n }: Partial<LeaseRequest>, { forgets }: Fate): void {
    const beat = async (): Promise<void> => {
      const leader = await this.#leaderFor(member)
      const ttl = this.#leases.renew(id, leader)
      this.#world.trace?.(`${side.process}: keep-alive of lease ${id} at ${member.label}: ${ttl} s`)
      // It is over, though not removed yet.
      if (ttl === 0) this.#revoke(id)
      member.run(() => side.tell({ id, ttl, header: this.#header() }, 'renew'))
      if (forgets) await member.forget()
    }
    this.#beats.set(side, (this.#beats.get(side) ?? Promise.resolve()).then(beat))
  }

  watch(side: MemberSide, member: Member, { create, cancel }: Partial<WatchRequest>): void {
    member.run(() => {
      if (cancel) {
        for (const each of this.#watchers) if (each.side === side && each.id === cancel.watchId) this.#unwatch(each)
      } else if (create && this.#streams.has(side)) {
        const { key = NO_BYTES, rangeEnd = NO_BYTES, startRevision = 0, watchId = 0 } = create
        const range = { key, rangeEnd }
        const isLate = startRevision > 0 && startRevision <= this.#keys.revision
        const end = this.subscriptions.counted(side.process, () => {})
        const watcher: Watcher = { side, member, id: watchId, range, isIn: within(range), isLate, end }
        this.#watchers.add(watcher)
        this.#tell(watcher, { created: true })
        if (isLate) this.#wait(this.#random.between(0, CATCH_UP_MS), () => this.#catchUp(watcher, startRevision))
      }
    })
  }

  async entries(): Promise<number> {
    const left = this.#keys.in(EVERYTHING).filter((kv) => !this.#mayStay(kv))
    return left.length + this.#leases.size
  }

  // What members are asked

  async #leaderFor(member: Member): Promise<Member> {
    await new Promise<void>((resolve) => member.run(resolve))
    while (!this.#leader || this.#leader.frozen) await this.#untilLed
    return this.#leader
  }

  /** @throws Refusal */
  #carryOut(leader: Member, path: string, message: object): object {
    switch (path) {
      case TXN.path:
        return this.#keys.transact(message)
      case DELETE.path:
        return { deleted: this.#keys.delete(message), header: this.#header() }
      case RANGE.path:
        return { ...this.#keys.range(message), header: this.#header() }
      case LEASE_GRANT.path: {
        const granted = this.#leases.grant((message as Partial<LeaseGrantRequest>).ttl ?? 0, leader)
        this.#watchExpiry()
        return { ...granted, error: '', header: this.#header() }
      }
      case LEASE_REVOKE.path:
        if (!this.#revoke((message as Partial<LeaseRequest>).id ?? 0n))
          throw new Refusal(GRPC.notFound, 'etcdserver: requested lease not found')
        return { header: this.#header() }
      default:
        throw new Error(`the model knows no method ${path}`)
    }
  }

  #header(): ResponseHeader {
    return { revision: this.#keys.revision }
  }

  #changed({ revision, events }: Change): void {
    for (const watcher of this.#watchers) {
      if (watcher.side.dead) this.#unwatch(watcher)
      else if (!watcher.isLate) this.#tellOf(watcher, { revision, events })
    }
    if (!this.#forgets) for (const name of this.#namesOf(events.map(({ kv }) => kv!))) this.#look(name)
  }

  #catchUp(watcher: Watcher, from: number): void {
    if (!this.#watchers.has(watcher)) return
    watcher.isLate = false
    try {
      for (const change of this.#keys.since(from, watcher.range)) this.#tellOf(watcher, change)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.#tell(watcher, { canceled: true, compactRevision: this.#keys.compacted })
      this.#unwatch(watcher)
    }
  }

  /** What is in its range, in one message. */
  #tellOf(watcher: Watcher, { events }: Change): void {
    const own = events.filter(({ kv }) => watcher.isIn(kv!.key.toString('latin1')))
    if (own.length > 0) this.#tell(watcher, { events: own })
  }

  /** A member tells what it has applied, in order. */
  #tell({ side, member, id }: Watcher, said: Partial<WatchResponse>): void {
    const response: WatchResponse = {
      header: this.#header(),
      watchId: id,
      created: false,
      canceled: false,
      compactRevision: 0,
      cancelReason: '',
      events: [],
      ...said,
    }
    const now = this.#world.now()
    member.appliedAt = Math.max(member.appliedAt, now + this.#random.between(0, APPLIED_MS))
    const verb = response.events.length > 0 ? 'wake' : 'watch'
    this.#world.trace?.(
      `${side.process}: ${member.label} has news for watch ${id}: ${response.created ? 'it stands' : response.canceled ? 'it is over' : `revision ${response.events.at(-1)?.kv?.modRevision}`}`,
    )
    this.#wait(member.appliedAt - now, () => member.run(() => side.tell(response, verb)))
  }

  #unwatch(watcher: Watcher): void {
    if (this.#watchers.delete(watcher)) watcher.end()
  }

  // Leases

  #revoke(id: bigint): boolean {
    if (!this.#leases.remove(id)) return false
    if (this.#leases.size === 0) this.#watchNoExpiry()
    this.#keys.deleteOf(id)
    return true
  }

  /** It is alive, and somebody ends it. Its holders believe until they are told. */
  #revokeEarly(id: bigint): void {
    const names = this.#namesOf(this.#keys.of(id))
    const now = this.#world.now()
    this.#forgets = true
    this.#revoke(id)
    this.#forgets = false
    if (names.length > 0) this.excuses.push({ at: now, until: now })
    for (const name of names)
      for (const seen of this.#diary.forgot(name, now, this.#lookOf(name))) this.#diary.left(name, seen)
  }

  /** The leader looks every so often whether one is over. */
  #watchExpiry(): void {
    const leader = this.#leader
    if (!leader || leader.frozen || this.#leases.size === 0) return
    const now = this.#world.now()
    const { checkEveryMs } = this.#plan
    const inMs = Math.max(0, (this.#leases.firstEnd() - leader.now()) / leader.rate)
    const at = Math.ceil((now + inMs) / checkEveryMs) * checkEveryMs
    if (at >= this.#expiryAt) return
    this.#expiry?.cancel()
    this.#expiryAt = at
    this.#expiry = this.#world.wires.after(at - now, () => {
      this.#expiryAt = Infinity
      if (!this.#leader || this.#leader.frozen) return
      for (const id of this.#leases.over(this.#leader)) this.#revoke(id)
      this.#watchExpiry()
    })
  }

  #watchNoExpiry(): void {
    this.#expiry?.cancel()
    this.#expiryAt = Infinity
  }

  // Leaders

  #lead(member: Member): void {
    this.#note(member.label, 'leads')
    this.#leader = member
    this.#leases.promote(member)
    this.#goOn()
  }

  /** There is a leader that answers. */
  #goOn(): void {
    const led = this.#led
    this.#untilLed = new Promise((resolve) => (this.#led = resolve))
    led()
    this.#watchNoExpiry()
    this.#watchExpiry()
  }

  #elect({ gapMs, downMs }: Extract<EtcdFault, { kind: 'election' }>): void {
    const old = this.#leader
    if (this.#inTrouble || !old || old.frozen || old.away) return
    this.#inTrouble = true
    this.#note(old.label, downMs > 0 ? `dies for ${downMs}` : 'steps down')
    this.#depose()
    if (downMs > 0) {
      old.die()
      this.#later(downMs, () => (old.away = undefined))
    }
    this.#later(gapMs, () => this.#leadNext(old))
  }

  #freeze({ forMs }: Extract<EtcdFault, { kind: 'freeze' }>): void {
    const old = this.#leader
    if (this.#inTrouble || !old || old.frozen || old.away) return
    this.#inTrouble = true
    this.#note(old.label, `stands still for ${forMs}`)
    const remembered = this.#leases.remembered(old)
    old.freeze()
    this.#later(this.#plan.electionMs * this.#random.between(1, 2), () => {
      if (old.frozen) this.#leadNext(old)
    })
    this.#later(forMs, () => {
      this.#note(old.label, 'goes on')
      this.#inTrouble = false
      old.thaw()
      if (this.#leader === old) return this.#goOn()
      // A moment passes before it hears that it leads no more, and what it proposes then, the new leader carries out.
      this.#wait(this.#random.between(...BELIEVES_MS), () => {
        for (const id of remembered()) if (this.#leases.has(id)) this.#revokeEarly(id)
      })
    })
  }

  #restart({ downMs }: Extract<EtcdFault, { kind: 'restart' }>): void {
    if (this.#inTrouble || this.#members.some(({ away }) => away)) return
    this.#inTrouble = true
    this.#note('all members', `die for ${downMs}`)
    this.#depose()
    for (const member of this.#members) member.die()
    this.#later(downMs, () => {
      for (const member of this.#members) member.away = undefined
      this.#later(this.#plan.electionMs, () => this.#leadNext(undefined))
    })
  }

  /** Nobody leads. After a while, members end the streams that want a leader. */
  #depose(): void {
    this.#leader = undefined
    this.#wait(this.#plan.electionMs, () => {
      if (!this.#leader) for (const side of this.#streams.keys()) this.#endStream(side)
    })
  }

  #leadNext(old: Member | undefined): void {
    const able = this.#members.filter((member) => member.away !== 'with an error' && !member.frozen)
    const next = able.find((member) => member !== old) ?? able[0]
    if (!next) return this.#wait(this.#plan.electionMs, () => this.#leadNext(old))
    if (!old?.frozen) this.#inTrouble = false
    this.#lead(next)
  }

  #endStream(side: MemberSide): void {
    const member = this.#streams.get(side)!
    member.run(() => side.end(new Refusal(GRPC.unavailable, 'etcdserver: no leader')))
  }

  /** What the plan has in store for what is right behind a message. */
  #strikeNext(): void {
    const { behind } = this.#plan
    const fault = behind[this.#struck % behind.length]
    this.#struck += 1
    if (fault && !this.#world.healed()) this.strike(fault)
  }

  #evict(name: string, nth: number): void {
    this.#note('operator', `evict from ${name}`)
    const seen = this.#diary.entries(name)[nth]
    const kv =
      seen && this.#keys.in(this.#naming.all(name)).find(({ createRevision }) => BigInt(createRevision) === seen.fence)
    if (!kv || !this.#leader) return
    this.#diary.evicted(name, seen)
    this.#keys.delete(kv)
  }

  // The diary

  #look(name: string): void {
    this.#diary.look(name, this.#lookOf(name))
  }

  #lookOf(name: string): Look | undefined {
    const entries = this.#keys.in(this.#naming.all(name)).map((kv) => this.#entryOf(kv))
    entries.sort((a, b) => a.place.fence - b.place.fence)
    const places = entries.map(({ place }) => place)
    const [first] = places
    if (!first) return undefined
    const count = holdersOf(places).length
    const seen = entries.map((entry) => entry.seen)
    return { capacity: first.record.capacity, holders: seen.slice(0, count), waiters: seen.slice(count) }
  }

  #entryOf(kv: KeyValue): KnownEntry {
    let entry = this.#entries.get(kv)
    if (!entry) {
      const place = placeOf(kv, this.#naming, 0)
      const { weight, lingering, keptMs, info } = place.record
      const lingersUntil = lingering ? this.#world.now() + keptMs : undefined
      entry = {
        place,
        madeAt: this.#world.now(),
        seen: { fence: BigInt(place.fence), weight, hold: labelOf(info), lingersUntil },
      }
      this.#entries.set(kv, entry)
    }
    return entry
  }

  #namesOf(kvs: readonly KeyValue[]): string[] {
    return [...new Set(kvs.flatMap(({ key }) => this.#naming.parse(key)?.name ?? []))]
  }

  /**
   * Where entries have no leases, nobody ends what lingers when its process is gone, nor what comes in late, until somebody waits
   * for it.
   */
  #mayStay(kv: KeyValue): boolean {
    if (this.#plan.lease !== 'observed' || !this.#naming.parse(kv.key)) return false
    const { seen, madeAt } = this.#entryOf(kv)
    const [process] = seen.hold!.split('.', 1)
    return seen.lingersUntil !== undefined || madeAt < this.#wellFromMs || this.#inboxes.get(process!)!.dead
  }

  /** After so long, or when all faults are over. */
  #later(ms: number, what: () => void): void {
    const now = this.#world.now()
    this.#wait(Math.max(0, Math.min(ms, this.#world.faultsUntilMs - now)), what)
  }

  #wait(ms: number, what: () => void): void {
    this.#world.wires.after(ms, what)
  }

  #note(who: string, what: string): void {
    this.#recorder.note(who, { kind: 'fault', what })
  }
}
