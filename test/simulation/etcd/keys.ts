/**
 * The keys of an etcd cluster, with their revisions, as its members agree on them: transactions, ranges, and what happened
 * since a revision. What is asked for comes as the backend says it, so what is left out has its default.
 */
import { GRPC } from '../../../src/backends/etcd/errors.ts'
import type {
  Compare,
  DeleteRequest,
  KeyValue,
  Operation,
  Outcome,
  PutRequest,
  RangeRequest,
  RangeResponse,
  Transaction,
  TransactionResponse,
  WatchEvent,
} from '../../../src/backends/etcd/messages.ts'
import { BY, EVENT, IS, OF, ORDER } from '../../../src/backends/etcd/messages.ts'

const NOTHING = Buffer.alloc(0)
const NO_KEY: KeyValue = { key: NOTHING, createRevision: 0, modRevision: 0, version: 0, value: NOTHING, lease: 0n }

/** What of a transaction is carried out: conditions are looked at before anything is written, also those inside of it. */
interface Path {
  readonly succeeded: boolean
  readonly steps: readonly (Operation | Path)[]
}

/** All that happened at one revision. */
export interface Change {
  readonly revision: number
  readonly events: readonly WatchEvent[]
}

/** What a member says instead of an answer. */
export class Refusal extends Error {
  /** The code of gRPC. */
  readonly grpc: number

  constructor(grpc: number, message: string) {
    super(message)
    this.grpc = grpc
  }
}

export interface KeyRange {
  readonly key: Buffer
  /** Behind the last key; empty for the one key. */
  readonly rangeEnd?: Buffer
}

export class Keys {
  revision = 1
  /** What happened before this revision is not known any more. */
  compacted = 0

  readonly #changed: (change: Change) => void
  readonly #hasLease: (id: bigint) => boolean
  /** In the order of their bytes, when they are asked for. */
  readonly #keys = new Map<string, KeyValue>()
  #history: Change[] = []

  constructor(hasLease: (id: bigint) => boolean, changed: (change: Change) => void) {
    this.#hasLease = hasLease
    this.#changed = changed
  }

  get size(): number {
    return this.#keys.size
  }

  /** @throws Refusal and then nothing was done */
  transact(transaction: Partial<Transaction>): TransactionResponse {
    const path = this.#pathOf(transaction)
    this.#check(path)
    return { ...this.#write((events) => this.#carryOut(path, events)), header: { revision: this.revision } }
  }

  delete(request: Partial<DeleteRequest>): number {
    return this.#write((events) => this.#delete(request, events))
  }

  /** All that is attached to a lease. */
  deleteOf(lease: bigint): void {
    this.#write((events) => {
      for (const kv of [...this.#keys.values()]) if (kv.lease === lease) this.#delete(kv, events)
    })
  }

  /** What is attached to a lease. */
  of(lease: bigint): KeyValue[] {
    return [...this.#keys.values()].filter((kv) => kv.lease === lease)
  }

  range(request: Partial<RangeRequest>): RangeResponse {
    const { key = NOTHING, rangeEnd, limit = 0, order = ORDER.none, by = BY.key, countOnly } = request
    const found = this.in({ key, ...(rangeEnd ? { rangeEnd } : {}) })
    if (order === ORDER.ascending && by === BY.create) found.sort((a, b) => a.createRevision - b.createRevision)
    const kvs = countOnly ? [] : limit > 0 ? found.slice(0, limit) : found
    return { kvs, count: found.length, more: kvs.length < found.length }
  }

  in(range: KeyRange): KeyValue[] {
    if (!range.rangeEnd || range.rangeEnd.length === 0) {
      const kv = this.#keys.get(textOf(range.key))
      return kv ? [kv] : []
    }
    const isIn = within(range)
    return [...this.#keys].flatMap(([text, kv]) => (isIn(text) ? [kv] : [])).sort((a, b) => a.key.compare(b.key))
  }

  /** What has happened in a range from a revision on. @throws Refusal `outOfRange` */
  since(revision: number, range: KeyRange): Change[] {
    if (revision < this.compacted) throw new Refusal(GRPC.outOfRange, 'compacted')
    const isIn = within(range)
    return this.#history
      .filter((change) => change.revision >= revision)
      .map((change) => ({ ...change, events: change.events.filter(({ kv }) => isIn(textOf(kv!.key))) }))
      .filter(({ events }) => events.length > 0)
  }

  /** Forget what happened until now: of a deletion at this very revision, too, nothing is told any more (etcd-io/etcd#18089). */
  compact(): void {
    this.compacted = this.revision
    const last = this.#history.at(-1)
    const puts = last?.revision === this.revision ? last.events.filter(({ type }) => type === EVENT.put) : []
    this.#history = last && puts.length > 0 ? [{ ...last, events: puts }] : []
  }

  #write<T>(work: (events: WatchEvent[]) => T): T {
    const events: WatchEvent[] = []
    const outcome = work(events)
    if (events.length > 0) {
      this.revision += 1
      const change = { revision: this.revision, events }
      this.#history.push(change)
      this.#changed(change)
    }
    return outcome
  }

  #pathOf({ compare = [], success = [], failure = [] }: Partial<Transaction>): Path {
    const succeeded = compare.every((each) => this.#isTrue(each))
    const steps = (succeeded ? success : failure).map((step) =>
      step.transaction ? this.#pathOf(step.transaction) : step,
    )
    return { succeeded, steps }
  }

  #isTrue(condition: Partial<Compare>): boolean {
    const { key = NOTHING, rangeEnd } = condition
    const kvs = this.in({ key, ...(rangeEnd ? { rangeEnd } : {}) })
    // Where there is no key, there is no value that it could have.
    if (kvs.length === 0) return condition.of !== OF.value && meets(condition, NO_KEY)
    return kvs.every((kv) => meets(condition, kv))
  }

  /** @throws Refusal */
  #check(path: Path): void {
    const written = new Set<string>()
    for (const put of putsOf(path)) {
      const text = textOf(put.key!)
      if (written.has(text)) throw new Refusal(GRPC.invalidArgument, 'etcdserver: duplicate key given in txn request')
      written.add(text)
      if (put.lease !== undefined && put.lease !== 0n && !this.#hasLease(put.lease))
        throw new Refusal(GRPC.notFound, 'etcdserver: requested lease not found')
      if ((put.ignoreLease || put.ignoreValue) && !this.#keys.has(text))
        throw new Refusal(GRPC.invalidArgument, 'etcdserver: key not found')
    }
  }

  #carryOut({ succeeded, steps }: Path, events: WatchEvent[]): TransactionResponse {
    const outcomes = steps.map((step): Outcome => {
      if ('steps' in step) return { transaction: this.#carryOut(step, events) }
      if (step.put) return this.#put(step.put, events)
      if (step.delete) return { delete: { deleted: this.#delete(step.delete, events) } }
      return { range: this.range(step.range!) }
    })
    return { succeeded, outcomes }
  }

  #put(
    { key = NOTHING, value = NOTHING, lease = 0n, ignoreValue, ignoreLease }: Partial<PutRequest>,
    events: WatchEvent[],
  ): Outcome {
    const before = this.#keys.get(textOf(key))
    const modRevision = this.revision + 1
    const kv: KeyValue = {
      key,
      createRevision: before?.createRevision ?? modRevision,
      modRevision,
      version: (before?.version ?? 0) + 1,
      value: ignoreValue ? before!.value : value,
      lease: ignoreLease ? before!.lease : lease,
    }
    this.#keys.set(textOf(key), kv)
    events.push({ type: EVENT.put, kv })
    return { put: {} }
  }

  #delete(
    { key = NOTHING, rangeEnd }: { readonly key?: Buffer; readonly rangeEnd?: Buffer },
    events: WatchEvent[],
  ): number {
    const gone = this.in({ key, ...(rangeEnd ? { rangeEnd } : {}) })
    for (const kv of gone) {
      this.#keys.delete(textOf(kv.key))
      events.push({ type: EVENT.delete, kv: { ...NO_KEY, key: kv.key, modRevision: this.revision + 1 } })
    }
    return gone.length
  }
}

/** One character a byte, so that texts are in the order of the bytes. */
function textOf(key: Buffer): string {
  return key.toString('latin1')
}

/** Whether a key lies in a range. */
export function within({ key, rangeEnd = NOTHING }: KeyRange): (text: string) => boolean {
  const [first, end] = [textOf(key), textOf(rangeEnd)]
  if (end === '') return (text) => text === first
  return end === '\0' ? (text) => text >= first : (text) => text >= first && text < end
}

function meets(condition: Partial<Compare>, kv: KeyValue): boolean {
  const order = orderOf(condition, kv)
  switch (condition.is ?? IS.equal) {
    case IS.equal:
      return order === 0
    case IS.greater:
      return order > 0
    case IS.less:
      return order < 0
    default:
      return order !== 0
  }
}

/** Below 0: what the key has is less than what the condition says. */
function orderOf(condition: Partial<Compare>, kv: KeyValue): number {
  const { version = 0, createRevision = 0, modRevision = 0, value = NOTHING, lease = 0n } = condition
  switch (condition.of ?? OF.version) {
    case OF.version:
      return kv.version - version
    case OF.create:
      return kv.createRevision - createRevision
    case OF.modified:
      return kv.modRevision - modRevision
    case OF.value:
      return kv.value.compare(value)
    default:
      return Number(kv.lease - lease)
  }
}

function* putsOf({ steps }: Path): Generator<Partial<PutRequest>> {
  for (const step of steps) {
    if ('steps' in step) yield* putsOf(step)
    else if (step.put) yield step.put
  }
}
