/** What all workloads are given. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from './processes.ts'
import { RedisServer } from '../../test/kit/redis.ts'
import type { Place } from './contestant.ts'
import { REDIS_CONTESTANTS } from './redis.ts'

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
  use: (workers: Worker[], broker: Worker | undefined, place: Place) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(directory, 'run-'))
  const started: Worker[] = []
  const start = async (program: string, ...words: string[]): Promise<Worker> => {
    const worker = await Worker.start(program, ...words)
    started.push(worker)
    return worker
  }
  const server = contestant in REDIS_CONTESTANTS ? await RedisServer.start() : undefined
  try {
    const place: Place = { directory: folder, socket: join(folder, 'broker'), port: server?.port ?? 0 }
    const broker = contestant === 'live-mutex' ? await start('broker.ts', place.socket) : undefined
    const words = [contestant, place.directory, place.socket, String(place.port)] as const
    const workers = await Promise.all(Array.from({ length: count }, () => start('worker.ts', ...words)))
    return await use(workers, broker, place)
  } finally {
    for (const worker of started.toReversed()) await worker.end()
    await server?.end()
    rmSync(folder, { recursive: true, force: true })
  }
}
