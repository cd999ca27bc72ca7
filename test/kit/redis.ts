/** Real Redis servers for tests: on free ports of the loopback, without persistence unless asked, ended by their pid. */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { endsWithUs } from './servants.ts'

/** How often to look for another port when somebody else was quicker. */
const PORTS_TRIED = 5

export interface ServerSetting {
  /** Beside what there is: for clocks that a test turns. */
  readonly env?: NodeJS.ProcessEnv
  /** Where it writes; the test removes it. */
  readonly directory?: string
}

export class RedisServer {
  readonly port: number
  readonly #directory: string
  readonly #words: readonly string[]
  readonly #env: NodeJS.ProcessEnv
  #process: ChildProcess

  private constructor(
    port: number,
    directory: string,
    words: readonly string[],
    env: NodeJS.ProcessEnv,
    process: ChildProcess,
  ) {
    this.port = port
    this.#directory = directory
    this.#words = words
    this.#env = env
    this.#process = process
  }

  /** @param args of `redis-server`, after ours */
  static start(...args: string[]): Promise<RedisServer> {
    return RedisServer.startWith({}, ...args)
  }

  static startWith({ env = {}, directory }: ServerSetting, ...args: string[]): Promise<RedisServer> {
    return RedisServer.#launch(env, (port, own) => {
      const words = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory ?? own, '--save', '']
      return [...words, ...args]
    })
  }

  /** One that watches a primary, and knows it by a name. `password` is the primary's. */
  static sentinel(name: string, primaryPort: number, password?: string, downMs = 500): Promise<RedisServer> {
    return RedisServer.#launch({}, (port, directory) => {
      const lines = [
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${directory}`,
        `sentinel monitor ${name} 127.0.0.1 ${primaryPort} 2`,
        `sentinel down-after-milliseconds ${name} ${downMs}`,
        `sentinel failover-timeout ${name} 3000`,
        ...(password === undefined ? [] : [`sentinel auth-pass ${name} ${password}`]),
      ]
      // It writes what it learns into the same file.
      const file = join(directory, 'sentinel.conf')
      writeFileSync(file, `${lines.join('\n')}\n`)
      return [file, '--sentinel']
    })
  }

  static async #launch(
    env: NodeJS.ProcessEnv,
    wordsFor: (port: number, directory: string) => string[],
  ): Promise<RedisServer> {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-redis-'))
    for (let tried = 1; ; tried += 1) {
      const port = await freePort()
      const words = wordsFor(port, directory)
      try {
        return new RedisServer(port, directory, words, env, await launch(words, env))
      } catch (error) {
        if (tried === PORTS_TRIED) throw error
      }
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** It stands still, and its connections stay. */
  freeze(): void {
    this.#process.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process.kill('SIGCONT')
  }

  /** It was killed, and has not been started again. */
  get ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null
  }

  /** Ended in an instant; what it had not written is lost. */
  async kill(): Promise<void> {
    if (this.ended) return
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await ended
  }

  /** On the same port, with what is on disk. @param args of `redis-server`, beside those that it had */
  async start(...args: string[]): Promise<void> {
    this.#process = await launch([...this.#words, ...args], this.#env)
  }

  async end(): Promise<void> {
    await this.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

async function launch(words: readonly string[], env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const server = spawn('redis-server', words, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } })
  endsWithUs(server)
  const said: string[] = []
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', () => reject(new Error(`redis-server ended: ${said.join('\n')}`)))
    createInterface({ input: server.stdout }).on('line', (line) => {
      said.push(line)
      if (/Ready to accept connections|Sentinel ID is/.test(line)) resolve()
    })
  })
  return server
}

export async function freePort(): Promise<number> {
  const probe = createServer()
  probe.listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  await once(probe, 'close')
  return port
}
