/**
 * What the members of etcd have agreed on: every entry that was made, changed and deleted, in the order of revisions, as a watch
 * tells. Who holds is read off the order, as everybody has to.
 */
import type { EtcdClient } from '../../src/backends/etcd/index.ts'
import type { Place } from '../../src/backends/etcd/copy.ts'
import { holdersOf, placeOf } from '../../src/backends/etcd/copy.ts'
import { Naming } from '../../src/backends/etcd/keys.ts'
import type { WatchEvent } from '../../src/backends/etcd/messages.ts'
import { DELETE, EVENT, PUT } from '../../src/backends/etcd/messages.ts'
import { Watches } from '../../src/backends/etcd/watches.ts'
import type { Event } from '../../src/verify/history.ts'
import { MemoryRecorder } from '../../src/verify/history.ts'
import { eventually, machineNow } from '../../src/verify/torture/clock.ts'
import type { CoordinatorLog } from '../../src/verify/torture/trial.ts'
import type { Look, Seen } from '../../test/simulation/diary.ts'
import { Diary, labelOf } from '../../test/simulation/diary.ts'
import { userNameOf } from './names.ts'

const NAMING = new Naming('holdfast', false)
/** Among the locks, and none. */
const MARK = Buffer.from('holdfast/lock/end of the log')

export class EtcdLog implements CoordinatorLog {
  readonly #client: EtcdClient
  readonly #watches: Watches
  /** What is heard at once has one time. */
  #heardAt = 0
  readonly #recorder: MemoryRecorder = new MemoryRecorder(() => this.#heardAt)
  readonly #diary: Diary = new Diary('etcd', this.#recorder)
  /** By name and key. */
  readonly #queues = new Map<string, Map<string, Seen & Pick<Place, 'record'>>>()
  #isCut = false
  #hasMark = false

  private constructor(client: EtcdClient) {
    this.#client = client
    this.#watches = new Watches(client)
  }

  static async open(client: EtcdClient): Promise<EtcdLog> {
    const log = new EtcdLog(client)
    const [range] = NAMING.starting('')
    await new Promise<void>((stands, fails) => {
      const ended = (error: Error): void => {
        log.#isCut = true
        fails(error)
      }
      log.#watches.watch(range!, 0, { stands: () => stands(), heard: (events) => log.#hear(events), ended })
    })
    return log
  }

  async events(): Promise<Event[] | undefined> {
    await this.#client.call(PUT, { key: MARK, value: MARK })
    await eventually(() => this.#hasMark || this.#isCut, 'the end of the log')
    await this.#client.call(DELETE, { key: MARK })
    return this.#isCut ? undefined : this.#recorder.events
  }

  end(): void {
    this.#watches.close()
  }

  /** What has one revision happened at once. */
  #hear(events: readonly WatchEvent[]): void {
    for (const [index, event] of events.entries()) {
      const { key, modRevision } = event.kv!
      if (modRevision !== events[index - 1]?.kv!.modRevision) this.#heardAt = machineNow()
      if (key.equals(MARK)) this.#hasMark = true
      const name = NAMING.parse(key)?.name
      if (name === undefined) continue
      this.#take(name, event)
      const next = events[index + 1]?.kv
      const isHalf = next?.modRevision === modRevision && NAMING.parse(next.key)?.name === name
      if (!isHalf) this.#diary.look(userNameOf(name), this.#lookAt(name))
    }
  }

  #take(name: string, { type, kv }: WatchEvent): void {
    const queue = this.#queues.get(name) ?? new Map<string, Seen & Pick<Place, 'record'>>()
    this.#queues.set(name, queue)
    const id = kv!.key.toString()
    if (type === EVENT.delete) return void queue.delete(id)
    const { fence, record } = placeOf(kv!, NAMING, 0)
    const before = queue.get(id)
    const lingersUntil = record.lingering ? (before?.lingersUntil ?? this.#heardAt + record.keptMs) : undefined
    queue.set(id, { fence: BigInt(fence), weight: record.weight, hold: labelOf(record.info), lingersUntil, record })
  }

  #lookAt(name: string): Look {
    const places = [...this.#queues.get(name)!.values()].sort((a, b) => Number(a.fence - b.fence))
    const count = holdersOf(places).length
    return { capacity: places[0]?.record.capacity ?? 0, holders: places.slice(0, count), waiters: places.slice(count) }
  }
}
