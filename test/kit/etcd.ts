/** Real etcd members for tests: on free ports of the loopback, with a directory of their own, ended by their pid. */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './redis.ts'
import { endsWithUs } from './servants.ts'

/** A leader is missed after this; ttls can be as short as 1.5 times as long, rounded up to seconds. */
const [HEARTBEAT_MS, ELECTION_MS] = [50, 500]
const STARTS_MS = 20_000
/** How often to look for other ports when somebody else was quicker. */
const PORTS_TRIED = 5

export interface EtcdSetting {
  /** Where those of `certify` are: then everybody needs one. */
  readonly certificates?: string | undefined
  /** More words for each member. */
  readonly words?: readonly string[]
  /** Beside what there is: for clocks that a test turns. */
  readonly env?: NodeJS.ProcessEnv
  /** Where they write, each in a directory of its own. */
  readonly within?: string
}

export class EtcdMember {
  readonly port: number
  readonly #scheme: string
  readonly #words: readonly string[]
  readonly #env: NodeJS.ProcessEnv
  readonly #directory: string
  #process: ChildProcess | undefined
  #ended = false

  constructor(port: number, scheme: string, words: readonly string[], env: NodeJS.ProcessEnv, directory: string) {
    this.port = port
    this.#scheme = scheme
    this.#words = words
    this.#env = env
    this.#directory = directory
  }

  get endpoint(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`
  }

  /** Start it, or start it again with what is on its disk. */
  launch(): void {
    if (this.#ended) return
    const env = { ...process.env, ...this.#env }
    const member = spawn('etcd', this.#words, { stdio: ['ignore', 'ignore', 'ignore'], env })
    endsWithUs(member)
    this.#process = member
  }

  /** It stands still, and its connections stay. */
  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const member = this.#process
    if (!member || this.ended) return
    const exited = once(member, 'exit')
    member.kill('SIGKILL')
    await exited
  }

  /** It was killed, or could not start. */
  get ended(): boolean {
    const member = this.#process
    return member !== undefined && (member.exitCode !== null || member.signalCode !== null)
  }

  /** Whether it takes part in a cluster that has a leader; of one with certificates, whether it takes connections. */
  healthy(): Promise<boolean> {
    return this.#scheme === 'http' ? this.#saysSo() : this.#listens()
  }

  #saysSo(): Promise<boolean> {
    return new Promise((resolve) => {
      const asked = get(`${this.endpoint}/health`, { timeout: 1000 }, (answer) => {
        answer.resume()
        resolve(answer.statusCode === 200)
      })
      asked.on('error', () => resolve(false))
      asked.on('timeout', () => asked.destroy())
    })
  }

  #listens(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1', () => {
        socket.destroy()
        resolve(true)
      })
      socket.on('error', () => resolve(false))
    })
  }

  async end(): Promise<void> {
    this.#ended = true
    await this.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

function secured(certificates: string | undefined): string[] {
  if (certificates === undefined) return []
  const file = (name: string): string => join(certificates, name)
  const own = ['--cert-file', file('server.crt'), '--key-file', file('server.key')]
  return [...own, '--client-cert-auth', '--trusted-ca-file', file('ca.crt')]
}

/** One member or several. */
export class Etcd {
  readonly members: readonly EtcdMember[]

  private constructor(members: readonly EtcdMember[]) {
    this.members = members
  }

  static async start(count: 1 | 3 = 1, setting: EtcdSetting = {}): Promise<Etcd> {
    for (let tried = 1; ; tried += 1) {
      const etcd = await Etcd.#launch(count, setting)
      try {
        await etcd.stands()
        return etcd
      } catch (error) {
        await etcd.end()
        if (tried === PORTS_TRIED) throw error
      }
    }
  }

  static async #launch(count: 1 | 3, setting: EtcdSetting): Promise<Etcd> {
    const { certificates, words: more = [], env = {}, within = tmpdir() } = setting
    const places = await Promise.all(
      Array.from({ length: count }, async (_, index) => ({
        name: `m${index + 1}`,
        port: await freePort(),
        peer: `http://127.0.0.1:${await freePort()}`,
        directory: mkdtempSync(join(within, 'holdfast-etcd-')),
      })),
    )
    const cluster = places.map(({ name, peer }) => `${name}=${peer}`).join(',')
    const members = places.map(({ name, port, peer, directory }) => {
      const scheme = certificates === undefined ? 'http' : 'https'
      const own = `${scheme}://127.0.0.1:${port}`
      const urls = ['--listen-client-urls', own, '--advertise-client-urls', own, '--listen-peer-urls', peer]
      const all = ['--initial-advertise-peer-urls', peer, '--initial-cluster', cluster]
      const times = ['--heartbeat-interval', String(HEARTBEAT_MS), '--election-timeout', String(ELECTION_MS)]
      const words = ['--name', name, '--data-dir', directory, ...urls, ...all, ...times, ...secured(certificates)]
      return new EtcdMember(port, scheme, [...words, ...more], env, directory)
    })
    const etcd = new Etcd(members)
    for (const member of members) member.launch()
    return etcd
  }

  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint)
  }

  /** Resolves when all that run are healthy. */
  async stands(members: readonly EtcdMember[] = this.members): Promise<void> {
    for (const end = performance.now() + STARTS_MS; performance.now() < end; await sleep(50)) {
      if (members.some(({ ended }) => ended)) break
      const healthy = await Promise.all(members.map((member) => member.healthy()))
      if (healthy.every(Boolean)) return
    }
    throw new Error('etcd has not started')
  }

  async end(): Promise<void> {
    await Promise.all(this.members.map((member) => member.end()))
  }
}
