/** What goes wrong at the members of etcd, and on the way to them. */
import type { EtcdClient } from '../../src/backends/etcd/index.ts'
import { COMPACT, DELETE, LEASE_REVOKE, PUT, RANGE } from '../../src/backends/etcd/messages.ts'
import type { KeyValue } from '../../src/backends/etcd/messages.ts'
import type { Etcd, EtcdMember } from './etcd.ts'
import { leaderOf } from './etcd-leader.ts'
import type { Hand } from './hand.ts'
import { NAME } from './hand.ts'
import { Nemesis } from './nemesis.ts'
import { machineNow } from '../../src/verify/torture/clock.ts'

/** The keys of the lock that all hands want. */
export const KEYS = {
  key: Buffer.from(`holdfast/lock/lock:${NAME}/`),
  rangeEnd: Buffer.from(`holdfast/lock/lock:${NAME}0`),
}

/**
 * What a request looks like on its way: headers are packed, and bodies are as they are. An operation is its number, a length,
 * and what it is about, which begins with a key.
 */
/* oxlint-disable no-control-regex -- lengths and numbers are bytes */
const SIGNS = {
  /** A record that is put behind a condition on all keys of the name. */
  join: /lock:a0[^]*\{"holdfast":1/,
  /** A keep-alive: a frame that does not end its stream, with a lease in it. */
  renew: /\0\0[\x0e-\x10]\0\0[^]{4}\0{4}[\x09-\x0b]\x08[\x80-\xff]{7,9}[\0-\x7f]/,
  /** Of a client-observed entry: a record that is put if its key is there. */
  rewrite: /holdfast\/lock\/lock:a\/w\/[^]*:\x01~[^]*\{"holdfast":1/,
  /** A deletion, by itself or in a transaction. */
  leave: /(?:\0{4}[^]|\x1a[^])\x0a[^]holdfast\/lock\/lock:a\/w\//,
  /** Of the end of a key. */
  wake: /\x08\x01\x12[^]{1,2}\x0a[^]holdfast\/lock\/lock:a\/w\//,
} as const
/* oxlint-enable no-control-regex */

export class EtcdNemesis extends Nemesis {
  readonly #etcd: Etcd
  readonly #admin: EtcdClient
  readonly #frozen = new Set<EtcdMember>()

  constructor(etcd: Etcd, admin: EtcdClient, hands: readonly Hand[]) {
    super(hands)
    this.#etcd = etcd
    this.#admin = admin
  }

  // Wires

  /**
   * What it asks by this verb next does not arrive until the wire is healed, and it connects anew at once: left alone, it would
   * end the silent connection itself, and with it what is still on its way. Resolves when it has asked.
   */
  stall(hand: Hand, verb: Exclude<keyof typeof SIGNS, 'wake'>): Promise<void> {
    this.note(`stall ${verb} of ${hand.worker.name}`)
    return hand.wire.stall(SIGNS[verb], 'up', true)
  }

  /** The next message that a key has ended does not arrive, nor does what follows it on its connection. */
  stallWake(hand: Hand): Promise<void> {
    this.note(`stall a wake of ${hand.worker.name}`)
    return hand.wire.stall(SIGNS.wake, 'down')
  }

  // Members

  /** The place of the one that leads. */
  leader(): Promise<number> {
    return leaderOf(this.#etcd, this.#admin)
  }

  freeze(...places: readonly number[]): void {
    this.note(`freeze ${places.join()}`)
    for (const member of this.#at(places)) {
      this.#frozen.add(member)
      member.freeze()
    }
  }

  thaw(): void {
    this.note('thaw')
    // A leader that stood still may end leases that are alive, when it next looks at them: twice a second.
    void this.forgets(async () => {
      for (const member of this.#frozen) member.thaw()
      this.#frozen.clear()
    }, 1000)
  }

  async killMembers(...places: readonly number[]): Promise<void> {
    this.note(`kill members ${places.join()}`)
    await Promise.all(this.#at(places).map((member) => member.kill()))
  }

  /** Those that were killed start with what is on their disks; resolves when all are well. */
  async launch(): Promise<void> {
    this.note('launch')
    for (const member of this.#etcd.members) if (member.ended) member.launch()
    await this.#etcd.stands()
  }

  #at(places: readonly number[]): readonly EtcdMember[] {
    return places.map((place) => this.#etcd.members[place]!)
  }

  // Keys and leases

  async keys(): Promise<readonly KeyValue[]> {
    const { kvs } = await this.#admin.call(RANGE, KEYS)
    return kvs
  }

  /** Also those of other names, and of processes. */
  async allKeys(): Promise<readonly KeyValue[]> {
    const { kvs } = await this.#admin.call(RANGE, { key: Buffer.from('holdfast/'), rangeEnd: Buffer.from('holdfast0') })
    return kvs
  }

  /** All that there are. */
  async leases(): Promise<readonly bigint[]> {
    const answer = await post(this.#etcd.members[0]!.endpoint, 'lease/leases', {})
    const { leases = [] } = answer as { leases?: readonly { readonly ID: string }[] }
    return leases.map(({ ID }) => BigInt(ID))
  }

  /** All keys of the lock are deleted by a stranger. Answers when. */
  async remove(): Promise<number> {
    this.note('remove')
    const at = machineNow()
    await this.forgets(() => this.#admin.call(DELETE, KEYS))
    return at
  }

  /** What stands in the keys of the lock is somebody else's from now on. */
  async overwrite(): Promise<void> {
    this.note('overwrite')
    for (const { key, lease } of await this.keys())
      await this.#admin.call(PUT, { key, value: Buffer.from('mine'), lease })
  }

  /** The lease of the entry that drew this ticket is ended by an operator. Answers when. */
  async revoke(fence: number): Promise<number> {
    this.note('revoke a lease')
    const entry = (await this.keys()).find(({ createRevision }) => createRevision === fence)!
    const at = machineNow()
    await this.#admin.call(LEASE_REVOKE, { id: entry.lease })
    return at
  }

  /** All that happened until now is forgotten. Answers the revision. */
  async compact(): Promise<number> {
    this.note('compact')
    const { header } = await this.#admin.call(RANGE, KEYS)
    const { revision } = header!
    await this.#admin.call(COMPACT, { revision, physical: true })
    return revision
  }

  /** Something else is written until the store takes nothing more. */
  async fill(): Promise<void> {
    this.note('fill')
    for (;;) {
      try {
        await this.#admin.call(PUT, { key: Buffer.from('filler'), value: Buffer.alloc(500_000) }, 10_000)
      } catch (error) {
        if (/space exceeded/.test((error as Error).message)) return
        throw error
      }
    }
  }

  /** It takes new things again. */
  async tidy(): Promise<void> {
    this.note('tidy')
    await this.#admin.call(DELETE, { key: Buffer.from('filler') })
    await this.compact()
    for (const { endpoint } of this.#etcd.members) await post(endpoint, 'maintenance/defragment', {})
    const [first] = this.#etcd.endpoints as [string]
    const { alarms = [] } = (await post(first, 'maintenance/alarm', {})) as { alarms?: readonly object[] }
    for (const alarm of alarms) await post(first, 'maintenance/alarm', { action: 'DEACTIVATE', ...alarm })
  }

  override async heal(): Promise<void> {
    void super.heal()
    for (const member of this.#frozen) member.thaw()
    this.#frozen.clear()
    if (this.#etcd.members.some(({ ended }) => ended)) await this.launch()
    else await this.#etcd.stands()
  }
}

/** What an operator says, in JSON. */
async function post(endpoint: string, path: string, words: object): Promise<Record<string, unknown>> {
  const answer = await fetch(`${endpoint}/v3/${path}`, { method: 'POST', body: JSON.stringify(words) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${path}: ${text}`)
  return JSON.parse(text) as Record<string, unknown>
}
