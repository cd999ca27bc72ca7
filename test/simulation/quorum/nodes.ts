/**
 * The nodes of a quorum, in place of the one coordinator.
 *
 * Nobody keeps a log of a quorum: it holds what its processes believe. What is looked at here is that a process which is
 * done with an entry, whether it held or never did, has left nothing of it at any node soon after.
 */
import type { Claim } from '../../../src/backend.ts'
import type { QuorumBackend } from '../../../src/quorum/index.ts'
import type { SimulatedRuntime } from '../../../src/testing/simulated.ts'
import type { Recorder, Violation } from '../../../src/verify/history.ts'
import type { Library } from '../library.ts'
import { Link } from '../link.ts'
import type { QuorumPlan, SiteFault } from '../plan.ts'
import type { Caller, Site, Ways } from '../site.ts'
import { Subscriptions } from '../site.ts'
import type { World } from '../wire.ts'
import { Wire } from '../wire.ts'
import { SimulatedNode } from './node.ts'

/** By how much a node's clock may count the time less than the world does, and a bit. */
const CLOCKS_DIFFER = 1.02

export interface Well {
  /** From when on all is well. */
  readonly fromMs: number
  /** How soon after its process is done with it an entry must then be gone. */
  readonly leaveMs: number
}

export class Nodes implements Site {
  readonly subscriptions: Subscriptions = new Subscriptions()
  readonly violations: Violation[] = []
  readonly excuses: [] = []
  readonly fencesUntil: number = Infinity

  readonly #plan: QuorumPlan
  readonly #library: Library
  readonly #world: World
  readonly #recorder: Recorder
  readonly #well: Well
  readonly #nodes: readonly SimulatedNode[]
  readonly #forgotAt = new Map<SimulatedNode, number>()
  #deciding: Promise<boolean> = Promise.resolve(true)

  constructor(
    plan: QuorumPlan,
    library: Library,
    clocks: readonly SimulatedRuntime[],
    world: World,
    recorder: Recorder,
    well: Well,
  ) {
    this.#plan = plan
    this.#library = library
    this.#world = world
    this.#recorder = recorder
    this.#well = well
    this.#nodes = plan.nodes.map(
      (node, index) =>
        new SimulatedNode(
          `node ${index + 1}`,
          library,
          node,
          plan.longestMs,
          clocks[index]!,
          this.subscriptions,
          (forgetful) => this.#mayForget(forgetful),
        ),
    )
  }

  connect({ inbox, runtime, random, faults }: Caller): Ways {
    const wires = this.#nodes.map((_, index) => {
      const own = faults.filter((fault) => fault.node === undefined || fault.node === index)
      return new Wire(inbox, this.#world, random(3, index), own)
    })
    const { longestMs, nodeTimeoutMs } = this.#plan
    const nodes = this.#nodes.map((node, index) => ({ node: new Link(wires[index]!, node, false), label: node.label }))
    const options = { kind: 'quorum', nodes, longestMs, nodeTimeoutMs, runtime }
    const backend = new this.#library.QuorumBackend(options)
    this.#observe(backend)
    return { backend, wires }
  }

  strike(fault: SiteFault): void {
    if (fault.kind !== 'forget' && fault.kind !== 'away' && fault.kind !== 'slow') return
    const node = this.#nodes[fault.node]!
    if (fault.kind === 'forget') return void node.forget()
    const { wires, now, faultsUntilMs } = this.#world
    const untilMs = Math.min(fault.atMs + fault.forMs, faultsUntilMs)
    const during = (set: () => void, end: () => void): void => {
      set()
      wires.after(untilMs - now(), end)
    }
    switch (fault.kind) {
      case 'away': {
        this.#note(node, `away, ${fault.silent ? 'in silence' : 'with an error'}, until ${untilMs}`)
        return during(
          () => (node.away = fault.silent ? 'in silence' : 'with an error'),
          () => (node.away = undefined),
        )
      }
      case 'slow':
        this.#note(node, `slow by ${fault.byMs} until ${untilMs}`)
        return during(
          () => (node.slowMs = fault.byMs),
          () => (node.slowMs = 0),
        )
    }
  }

  async entries(): Promise<number> {
    const counts = await Promise.all(this.#nodes.map((node) => node.entries()))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** One after the other, so that none overlooks another. */
  #mayForget(node: SimulatedNode): Promise<boolean> {
    this.#deciding = this.#deciding.then(() => this.#decide(node))
    return this.#deciding
  }

  /**
   * What a quorum relies on: those who have forgotten are a minority. A node counts as one of them for the longest lease,
   * and until the others have told it what it may have known: before that, what it granted may be known to nobody else.
   */
  async #decide(node: SimulatedNode): Promise<boolean> {
    const now = this.#world.now()
    const since = now - this.#plan.longestMs * CLOCKS_DIFFER
    let forgetful = 1
    for (const other of this.#nodes) {
      if (other === node) continue
      if ((this.#forgotAt.get(other) ?? -Infinity) > since || (await other.inQuarantine())) forgetful += 1
    }
    if (forgetful > (this.#nodes.length - 1) / 2) return false
    this.#forgotAt.set(node, now)
    this.#note(node, 'forgets')
    return true
  }

  #observe(backend: QuorumBackend): void {
    const join = backend.join.bind(backend)
    const leave = backend.leave.bind(backend)
    const close = backend.close.bind(backend)
    let closed = false
    backend.join = async (entry) => {
      const standing = await join(entry)
      if (standing.state === 'refused') this.#mustBeGone(entry, 'refused', () => closed)
      return standing
    }
    backend.leave = async (claim, options) => {
      const there = await leave(claim, options)
      if (options === undefined) this.#mustBeGone(claim, 'left', () => closed)
      return there
    }
    backend.close = async () => {
      closed = true
      await close()
    }
  }

  /** What is on its way when its process closes is left to its end. */
  #mustBeGone({ name, id }: Claim, done: string, closed: () => boolean): void {
    const { now, wires } = this.#world
    const { fromMs, leaveMs } = this.#well
    const at = now()
    if (at < fromMs) return
    wires.after(leaveMs, () => {
      if (closed()) return
      for (const node of this.#nodes) {
        void node.has({ name, id }).then((there) => {
          const text = `an entry of "${name}" that was ${done} at ${at} stood at ${node.label} beyond ${at + leaveMs}`
          if (there) this.violations.push({ checker: 'residue', text, events: [] })
        })
      }
    })
  }

  #note(node: SimulatedNode, what: string): void {
    this.#recorder.note(node.label, { kind: 'fault', what })
  }
}
