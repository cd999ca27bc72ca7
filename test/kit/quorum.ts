/** Independent Redis servers, each behind a wire of its own, and what can happen to one of them: each fault is one word. */
import type { Finding, Locks } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import { eventually } from '../../src/verify/torture/clock.ts'
import { Proxy } from '../../src/verify/torture/wire.ts'
import { RedisServer } from './redis.ts'

/** A diagnosis for which all nodes have answered: on a busy machine the first connections take longer than a node may. */
export async function reached(locks: Locks): Promise<readonly Finding[]> {
  let findings: readonly Finding[] = []
  await eventually(async () => {
    findings = await locks.diagnose()
    return findings.some(({ subject, level }) => subject === 'reachability' && level === 'ok')
  }, 'an answer of all nodes')
  return findings
}

export class Nodes {
  readonly servers: readonly RedisServer[]
  readonly wires: readonly Proxy[]

  private constructor(servers: readonly RedisServer[], wires: readonly Proxy[]) {
    this.servers = servers
    this.wires = wires
  }

  static async start(count: number): Promise<Nodes> {
    const servers = await Promise.all(Array.from({ length: count }, () => RedisServer.start()))
    return new Nodes(servers, await Promise.all(servers.map(({ port }) => Proxy.start(port))))
  }

  get ports(): number[] {
    return this.wires.map(({ port }) => port)
  }

  /** @param options behind the question mark */
  url(options: string): string {
    return `redlock://${this.ports.map((port) => `127.0.0.1:${port}`).join(',')}?${options}`
  }

  /** They are new, and nobody has held anything: take them into service at once. */
  async enlist(): Promise<void> {
    const locks = connect(this.url('durable'))
    await reached(locks)
    await locks.close()
  }

  kill(node: number): Promise<void> {
    return this.servers[node]!.kill()
  }

  /** It stands still; its connections stay. */
  freeze(node: number): void {
    this.servers[node]!.freeze()
  }

  thaw(node: number): void {
    this.servers[node]!.thaw()
  }

  /** What is sent to it arrives nowhere, and nobody is told. */
  blackHole(node: number): void {
    this.wires[node]!.silence()
  }

  /** It comes back, and knows nothing. */
  async restartEmpty(node: number): Promise<void> {
    await this.servers[node]!.kill()
    await this.servers[node]!.start()
  }

  async end(): Promise<void> {
    for (const server of this.servers) server.thaw()
    await Promise.all(this.wires.map((wire) => wire.end()))
    await Promise.all(this.servers.map((server) => server.end()))
  }
}
