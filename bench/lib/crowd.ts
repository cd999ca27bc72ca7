/** W4: what 500 waiters cost while they wait, and how soon they are served. W7: how soon a dead holder has a successor. */
import { setTimeout as sleep } from 'node:timers/promises'
import { quantile, sum } from './numbers.ts'
import { now } from './processes.ts'
import type { Setup } from './setup.ts'
import { withWorkers } from './setup.ts'
import type { Plan, Sample } from './sheet.ts'
import { Sheet } from './sheet.ts'

const WAITERS = 250

export const W4: Plan = {
  id: 'W4',
  group: 'file',
  title: 'file W4: 2 processes × 250 waiters on one name that a third holds for 20 s',
  contestants: ['file:', 'live-mutex'],
  columns: [
    { key: 'cpu', title: 'CPU % of a core, both, the first 10 s' },
    { key: 'later', title: '10 s later' },
    { key: 'lines', title: 'lines appended/s, a process' },
    { key: 'rest', title: 'CPU %, holder and broker' },
    { key: 'served', title: 'all 500 served, ms' },
  ],
  goals: [
    {
      text: 'CPU over the first 10 s of waiting, below 1 % of a core',
      value: (sheet) => sheet.values('file:', 'cpu'),
      most: 1,
      unit: ' %',
    },
    {
      text: 'CPU over the next 10 s, when what runs has been compiled, below 1 % of a core',
      value: (sheet) => sheet.values('file:', 'later'),
      most: 1,
      unit: ' %',
    },
    {
      text: 'lines appended a second by each process, at most 2',
      value: (sheet) => sheet.values('file:', 'lines'),
      most: 2,
    },
    {
      text: 'all 500 served in about a second',
      value: (sheet) => sheet.values('file:', 'served'),
      most: 1000,
      unit: ' ms',
    },
  ],
}

export const W7: Plan = {
  id: 'W7',
  group: 'file',
  title: 'file W7: from kill -9 of a holder to the next grant, in another process',
  contestants: ['file:'],
  columns: [
    { key: 'p50', title: 'p50 ms' },
    { key: 'max', title: 'max ms' },
    { key: 'count', title: 'n' },
  ],
}

export async function crowd(setup: Setup): Promise<Sheet> {
  const sheet = new Sheet(W4)
  await sheet.rounds(setup.quick ? 1 : 3, setup.progress, (name) => oneCrowd(setup, name))
  return sheet
}

export async function death(setup: Setup): Promise<Sheet> {
  const sheet = new Sheet(W7)
  await sheet.rounds(1, setup.progress, (name) => deaths(setup, name, setup.quick ? 5 : 20))
  return sheet
}

interface Usage {
  readonly cpu: NodeJS.CpuUsage
  readonly writes: number
}

function oneCrowd(setup: Setup, name: string): Promise<Sample> {
  return withWorkers(setup, name, 3, async ([holder, ...waiters], broker) => {
    const watchMs = setup.quick ? 4000 : 10_000
    await holder!.ask('hold')
    for (const worker of waiters) await worker.ask('countWrites')
    await Promise.all(waiters.map((worker) => worker.ask('crowd', { count: WAITERS })))
    await sleep(1000)
    const others = broker ? [holder!, broker] : [holder!]
    const usage = (): Promise<Usage[]> =>
      Promise.all([...waiters, ...others].map((worker) => worker.ask<Usage>('usage')))
    const before = await usage()
    await sleep(watchMs)
    const after = await usage()
    await sleep(watchMs)
    const end = await usage()
    const start = now()
    await holder!.ask('drop')
    const served = await Promise.all(waiters.map((worker) => worker.ask<number>('served')))
    const percent = (from: Usage[], to: Usage[]): number[] =>
      to.map((each, index) => (cpuMs(each) - cpuMs(from[index]!)) / (watchMs / 100))
    const cpu = percent(before, after)
    const lines = after.map((each, index) => (each.writes - before[index]!.writes) / (watchMs / 1000))
    return {
      cpu: sum(cpu.slice(0, waiters.length)),
      later: sum(percent(after, end).slice(0, waiters.length)),
      rest: sum(cpu.slice(waiters.length)),
      lines: name === 'file:' ? quantile(lines.slice(0, waiters.length), 1) : Number.NaN,
      served: (quantile(served, 1) - start) / 1e6,
    }
  })
}

function cpuMs({ cpu }: Usage): number {
  return (cpu.user + cpu.system) / 1e3
}

function deaths(setup: Setup, name: string, count: number): Promise<Sample> {
  return withWorkers(setup, name, 1, async ([waiter]) => {
    const took: number[] = []
    for (let round = 0; round < count; round += 1) {
      const victim = await waiter!.another()
      await victim.ask('hold')
      const granted = waiter!.ask<number>('hold')
      await sleep(150)
      const killedAt = now()
      victim.child.kill('SIGKILL')
      took.push(((await granted) - killedAt) / 1e6)
      await waiter!.ask('drop')
      await victim.exited
    }
    return { p50: quantile(took, 0.5), max: quantile(took, 1), count }
  })
}
