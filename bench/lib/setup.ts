/** What all workloads are given. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from './processes.ts'
import { RedisServer } from '../../test/kit/redis.ts'
import type { Place } from './contestants.ts'
import { ON_REDIS } from './contestants.ts'

export interface Setup {
  readonly quick: boolean
  readonly repetitions: number
  /** Everything that is written is written below it. */
  readonly directory: string
  readonly progress: (text: string) => void
}

/** Processes of one contestant in a place of their own; everything is gone afterwards. */
export async function withWorkers<T>(
  { directory }: Setup,
  contestant: string,
  count: number,
  use: (workers: Worker[], broker: Worker | undefined) => Promise<T>,
): Promise<T> {
  const place: Place = { directory: mkdtempSync(join(directory, 'run-')), socket: '', port: 0 }
  const started: Worker[] = []
  const start = async (program: string, ...words: string[]): Promise<Worker> => {
    const worker = await Worker.start(program, ...words)
    started.push(worker)
    return worker
  }
  const server = ON_REDIS.includes(contestant) ? await RedisServer.start() : undefined
  try {
    const socket = join(place.directory, 'broker')
    const broker = contestant === 'live-mutex' ? await start('broker.ts', socket) : undefined
    const words = [contestant, place.directory, socket, String(server?.port ?? 0)] as const
    const workers = await Promise.all(Array.from({ length: count }, () => start('worker.ts', ...words)))
    return await use(workers, broker)
  } finally {
    for (const worker of started.toReversed()) await worker.end()
    await server?.end()
    rmSync(place.directory, { recursive: true, force: true })
  }
}
