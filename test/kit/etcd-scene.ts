/**
 * A scene at one member of etcd, or three, each behind a wire of every hand.
 *
 * `HOLDFAST_ETCD_MEMBERS=3` makes it three where a test does not say how many; `HOLDFAST_ETCD_LEASE` (`entry`, `observed`) has
 * entries kept in that way where a test does not say how.
 */
import { expect } from 'vitest'
import { EtcdClient } from '../../src/backends/etcd/index.ts'
import { LEASE_TIME_TO_LIVE } from '../../src/backends/etcd/messages.ts'
import type { ConnectOptions, Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import type { EtcdSetting } from './etcd.ts'
import { Etcd } from './etcd.ts'
import { EtcdNemesis } from './etcd-nemesis.ts'
import { NAME } from './hand.ts'
import { Cable } from '../../src/verify/torture/wire.ts'
import type { Line } from './scene.ts'
import { Scene, testWith } from './scene.ts'

type Mode = 'process' | 'entry' | 'observed'

/** How many members there are where a test does not say. */
const MEMBERS = process.env['HOLDFAST_ETCD_MEMBERS'] === '3' ? 3 : 1
/** How entries are kept where a test does not say. */
export const MODE = (process.env['HOLDFAST_ETCD_LEASE'] ?? 'process') as Mode

/** No lease of these tests is longer. */
const LONGEST_MS = 61_000

export interface EtcdSceneOptions extends Omit<ConnectOptions, 'runtime'> {
  readonly members?: 1 | 3
  readonly lease?: Mode
  readonly server?: EtcdSetting
}

/** So many members run at a time: two cores are shared by all of them, and they think that a member that is slow is gone. */
const RUNNING_MAX = 14
const places = connect('memory:').semaphore('members', RUNNING_MAX)

export class EtcdScene extends Scene<EtcdNemesis> {
  readonly #members: 1 | 3
  readonly #mode: Mode
  readonly #setting: EtcdSetting
  #etcd!: Etcd
  #admin!: EtcdClient
  #locks!: Locks
  #nemesis!: EtcdNemesis

  constructor(options: EtcdSceneOptions) {
    const { members = MEMBERS, lease = MODE, server = {}, ...connectOptions } = options
    super(connectOptions)
    this.#members = members
    this.#mode = lease
    this.#setting = server
  }

  get etcd(): Etcd {
    return this.#etcd
  }

  get admin(): EtcdClient {
    return this.#admin
  }

  get mode(): Mode {
    return this.#mode
  }

  override get locks(): Locks {
    return this.#locks
  }

  override get nemesis(): EtcdNemesis {
    return this.#nemesis
  }

  /** The places of the members that a hand is connected to. */
  placesOf({ wire }: { readonly wire: unknown }): readonly number[] {
    return (wire as Cable).places
  }

  protected override async start(): Promise<void> {
    const place = await places.acquire({ permits: this.#members, wait: '10m', ttl: '10m' })
    this.endWith(() => place.release())
    this.#etcd = await Etcd.start(this.#members, this.#setting)
    this.endWith(() => this.#etcd.end())
    this.#admin = new EtcdClient({ endpoints: this.#etcd.endpoints })
    this.endWith(() => this.#admin.close())
    this.#locks = connect(urlOf(this.#etcd.members.map(({ port }) => port)))
    this.endWith(() => this.#locks.close())
    this.#nemesis = new EtcdNemesis(this.#etcd, this.#admin, this.hands)
  }

  protected override async lay(): Promise<Line> {
    const wire = await Cable.start(this.#etcd.members.map(({ port }) => ({ host: '127.0.0.1', port })))
    return { wire, worker: { url: `${urlOf(wire.ports)}?lease=${this.mode}` } }
  }

  /** Without leases, the dead go when somebody comes who waits for them. */
  protected override async tidied(): Promise<void> {
    if (this.mode !== 'observed') return
    const locks = connect(`${urlOf(this.#etcd.members.map(({ port }) => port))}?lease=observed`)
    try {
      await locks.run(NAME, () => {})
    } finally {
      await locks.close()
    }
  }

  protected override async kept(longestMs: number = LONGEST_MS): Promise<number> {
    for (const id of await this.#nemesis.leases()) {
      // Nobody is left who keeps it alive.
      const { grantedTtl } = await this.#admin.call(LEASE_TIME_TO_LIVE, { id })
      expect(grantedTtl * 1000).toBeLessThanOrEqual(longestMs)
    }
    for (const { key, lease } of await this.#nemesis.allKeys()) {
      expect(key.toString()).toMatch(/^holdfast\/process\//)
      expect(lease).not.toBe(0n)
    }
    const watchers = await Promise.all(this.#etcd.endpoints.map(watchersAt))
    const connections = this.hands.map(({ wire }) => wire.connections)
    return [...watchers, ...connections].reduce((sum, count) => sum + count, 0)
  }
}

function urlOf(ports: readonly number[]): string {
  return `etcd://${ports.map((port) => `127.0.0.1:${port}`).join()}`
}

async function watchersAt(endpoint: string): Promise<number> {
  const text = await (await fetch(`${endpoint}/metrics`)).text()
  return Number(/^etcd_debugging_mvcc_watcher_total (\S+)/m.exec(text)?.[1])
}

export const test = testWith<EtcdScene, EtcdSceneOptions>((options) => new EtcdScene(options))
