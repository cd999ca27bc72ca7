/** A real PostgreSQL server for a test: on a free port of the loopback, in a folder of its own, ended by its pid. */
import type { ChildProcess } from 'node:child_process'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from './redis.ts'

/** Where Debian puts the newest one; `undefined`: it is not installed. */
const programs: string | undefined = globSync('/usr/lib/postgresql/*/bin').sort().at(-1)

export class PostgresServer {
  static readonly missing: boolean = programs === undefined
  readonly port: number
  readonly #directory: string
  readonly #process: ChildProcess

  private constructor(port: number, directory: string, process: ChildProcess) {
    this.port = port
    this.#directory = directory
    this.#process = process
  }

  static async start(): Promise<PostgresServer> {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-postgres-'))
    // It refuses to run as root.
    const user = process.getuid?.() === 0 ? { uid: idOf('postgres', '-u'), gid: idOf('postgres', '-g') } : {}
    if (user.uid !== undefined) chownSync(directory, user.uid, user.gid)
    const init = ['-D', directory, '-U', 'test', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync']
    execFileSync(join(programs!, 'initdb'), init, { ...user, stdio: 'ignore' })
    const port = await freePort()
    const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=', 'fsync=off']
    const words = ['-D', directory, ...settings.flatMap((setting) => ['-c', setting])]
    const server = spawn(join(programs!, 'postgres'), words, { ...user, stdio: ['ignore', 'ignore', 'pipe'] })
    const endIt = (): void => void server.kill('SIGQUIT')
    process.once('exit', endIt)
    server.once('exit', () => process.off('exit', endIt))
    const said: string[] = []
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.once('exit', () => reject(new Error(`postgres ended: ${said.join('\n')}`)))
      createInterface({ input: server.stderr }).on('line', (line) => {
        said.push(line)
        if (line.includes('ready to accept connections')) resolve()
      })
    })
    return new PostgresServer(port, directory, server)
  }

  async end(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGQUIT')
    await ended
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

function idOf(user: string, which: '-u' | '-g'): number {
  return Number(execFileSync('id', [which, user], { encoding: 'utf8' }))
}
