/** What all workloads are given. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from './processes.ts'
import { Etcd } from '../../test/kit/etcd.ts'
import { RedisServer } from '../../test/kit/redis.ts'
import type { Place } from './contestant.ts'
import { ETCD_CONTESTANTS, GO_MUTEX, goMutex } from './etcd.ts'
import { REDIS_CONTESTANTS } from './redis.ts'

export interface Setup {
  readonly quick: boolean
  readonly repetitions: number
  /** Everything that is written is written below it. */
  readonly directory: string
  readonly progress: (text: string) => void
  /** How many of etcd there are. Default 1. */
  readonly members?: 1 | 3
}

/** Processes of one contestant in a place of their own; everything is gone afterwards. */
export async function withWorkers<T>(
  { directory, members = 1 }: Setup,
  contestant: string,
  count: number,
  use: (workers: Worker[], broker: Worker | undefined, place: Place, etcd: Etcd | undefined) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(directory, 'run-'))
  const started: Worker[] = []
  const start = async (program: string, ...words: string[]): Promise<Worker> => {
    const worker = await Worker.start(program, ...words)
    started.push(worker)
    return worker
  }
  const server = contestant in REDIS_CONTESTANTS ? await RedisServer.start() : undefined
  const etcd = contestant in ETCD_CONTESTANTS || contestant === GO_MUTEX ? await Etcd.start(members) : undefined
  try {
    const socket = join(folder, 'broker')
    const place: Place = { directory: folder, socket, port: server?.port ?? 0, endpoints: etcd?.endpoints ?? [] }
    const broker = contestant === 'live-mutex' ? await start('broker.ts', socket) : undefined
    const endpoints = place.endpoints.join(',')
    const [program, ...words] =
      contestant === GO_MUTEX
        ? ([goMutex(directory), endpoints] as const)
        : (['worker.ts', contestant, folder, socket, String(place.port), endpoints] as const)
    const workers = await Promise.all(Array.from({ length: count }, () => start(program, ...words)))
    return await use(workers, broker, place, etcd)
  } finally {
    for (const worker of started.toReversed()) await worker.end()
    await server?.end()
    await etcd?.end()
    rmSync(folder, { recursive: true, force: true })
  }
}
