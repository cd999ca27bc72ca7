/** Real SQL servers for a test: on a free port of the loopback, in a folder of their own, ended by their pid. */
import type { ChildProcess } from 'node:child_process'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from './redis.ts'
import { endsWithUs } from './servants.ts'

type Words = readonly [program: string, ...args: string[]]

interface Kind {
  /** What Debian calls the package that brings it. */
  readonly packageName: string
  readonly program: string | undefined
  /** Makes the folder a store, if the server does not do so itself. */
  readonly init?: (directory: string) => Words
  readonly args: (directory: string, port: number) => string[]
  readonly ready: RegExp
}

const postgres = globSync('/usr/lib/postgresql/*/bin').sort().at(-1)

/** Its user is `test`. */
export const POSTGRES: Kind = {
  packageName: 'postgresql',
  program: postgres && join(postgres, 'postgres'),
  init: (directory) => [
    join(postgres!, 'initdb'),
    ...['-D', directory, '-U', 'test', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync'],
  ],
  args: (directory, port) => {
    const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=', 'fsync=off']
    return ['-D', directory, ...settings.flatMap((setting) => ['-c', setting])]
  },
  ready: /ready to accept connections/,
}

/** It asks nobody for a password. */
export const MARIADB: Kind = {
  packageName: 'mariadb-server-core',
  program: globSync('/usr/sbin/mariadbd').at(0),
  args: (directory, port) => [
    ...['--no-defaults', '--skip-grant-tables', `--datadir=${directory}`],
    ...['--bind-address=127.0.0.1', `--port=${port}`, `--socket=${join(directory, 'socket')}`],
  ],
  ready: /ready for connections/,
}

export class DatabaseServer {
  readonly port: number
  readonly #directory: string
  readonly #process: ChildProcess

  private constructor(port: number, directory: string, process: ChildProcess) {
    this.port = port
    this.#directory = directory
    this.#process = process
  }

  /** Says so if it is not there. */
  static missing({ packageName, program }: Kind): boolean {
    if (program !== undefined) return false
    console.warn(`${packageName} is not installed: what needs it is not tested`)
    return true
  }

  static async start({ program, init, args, ready }: Kind): Promise<DatabaseServer> {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-database-'))
    // They refuse to run as root.
    const user = process.getuid?.() === 0 ? { uid: idOf('nobody', '-u'), gid: idOf('nobody', '-g') } : {}
    if (user.uid !== undefined) chownSync(directory, user.uid, user.gid)
    const how = { ...user, cwd: directory }
    const [maker, ...words] = init?.(directory) ?? []
    if (maker !== undefined) execFileSync(maker, words, { ...how, stdio: 'ignore' })
    const port = await freePort()
    const server = spawn(program!, args(directory, port), { ...how, stdio: ['ignore', 'ignore', 'pipe'] })
    endsWithUs(server, 'SIGQUIT')
    const said: string[] = []
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.once('exit', () => reject(new Error(`${program} ended: ${said.join('\n')}`)))
      createInterface({ input: server.stderr }).on('line', (line) => {
        said.push(line)
        if (ready.test(line)) resolve()
      })
    })
    return new DatabaseServer(port, directory, server)
  }

  async end(): Promise<void> {
    const ended = once(this.#process, 'exit')
    // Not SIGKILL: PostgreSQL ends its own children at this one.
    this.#process.kill('SIGQUIT')
    await ended
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

function idOf(user: string, which: '-u' | '-g'): number {
  return Number(execFileSync('id', [which, user], { encoding: 'utf8' }))
}
