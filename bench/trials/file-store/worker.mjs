// One process of the trial: `node worker.mjs <design> <dir>`, told what to do over IPC by run.mjs.
import fs from 'node:fs'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'

const [design, dir] = process.argv.slice(2)
const { open } = await import(`./${design}.mjs`)
const store = await open(dir)

const now = () => Number(process.hrtime.bigint()) // the same clock in all processes
const until = (time) => delay(Math.max(0, (time - now()) / 1e6))
const microseconds = (sorted, p) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] / 1e3
let stopped = false

// Appends to a file of this process at once, so that kill -9 loses nothing that happened.
function openHistory(path) {
  const fd = fs.openSync(path, 'a')
  return (...fields) => fs.writeSync(fd, `${fields.join(' ')}\n`)
}

const jobs = {
  // 1: one pair after the other on a name that nobody else wants
  async pairs({ ms }) {
    const took = []
    const loop = async (end) => {
      for (let i = 0, t = now(); t < end; i++) {
        await store.acquire('alone')
        await store.release('alone')
        const t2 = now()
        took.push(t2 - t)
        t = t2
        if (i % 32 === 0) {
          await nextTurn() // a store that answers in microtasks would starve its own sockets
          t = now()
        }
      }
    }
    await loop(now() + ms * 4e5) // warm up
    took.length = 0
    const start = now()
    await loop(start + ms * 1e6)
    const rate = (took.length / (now() - start)) * 1e9
    took.sort((a, b) => a - b)
    return { p50: microseconds(took, 0.5), p99: microseconds(took, 0.99), rate }
  },

  // 2: 64 names at once
  async burst({ ms }) {
    const round = () =>
      Promise.all(
        Array.from({ length: 64 }, async (_, i) => {
          await store.acquire(`n${i}`)
          await store.release(`n${i}`)
        }),
      )
    for (const end = now() + ms * 4e5; now() < end; await nextTurn()) await round()
    let rounds = 0
    const start = now()
    for (; now() < start + ms * 1e6; await nextTurn()) {
      await round()
      rounds++
    }
    return { rate: ((rounds * 64) / (now() - start)) * 1e9 }
  },

  // 3: release and ask again at once; every process of the run wants the same name
  async greedy({ startAt, ms }) {
    const turns = []
    let block = 0
    let last = now()
    const timer = setInterval(() => {
      const t = now()
      block = Math.max(block, t - last - 5e6)
      last = t
    }, 5)
    await until(startAt)
    for (const end = startAt + ms * 1e6; now() < end;) {
      const ask = now()
      const fence = await store.acquire('hot')
      const granted = now()
      const leave = now()
      await store.release('hot')
      turns.push([ask, granted, leave, fence])
    }
    clearInterval(timer)
    return { turns, block: block / 1e6 }
  },

  // 4: every process has a name of its own
  async own({ startAt, ms, name }) {
    await until(startAt)
    let pairs = 0
    for (const end = startAt + ms * 1e6; now() < end; pairs++) {
      await store.acquire(name)
      await store.release(name)
      if (pairs % 32 === 0) await nextTurn()
    }
    return { pairs }
  },

  // 5: an unprotected counter in a file; the lock is its only guard
  async storm({ history, counter }) {
    const note = openHistory(history)
    const fd = fs.openSync(counter, 'r+')
    const digits = Buffer.alloc(12)
    while (!stopped) {
      note('ask', now())
      const fence = await store.acquire('counter')
      fs.readSync(fd, digits, 0, 12, 0)
      const value = Number(digits.toString())
      note('grant', now(), fence, value)
      await (Math.random() < 0.5 ? nextTurn() : delay(1 + Math.random()))
      fs.writeSync(fd, String(value + 1).padStart(12, '0'), 0)
      note('leave', now(), fence, value + 1)
      await store.release('counter')
      note('left', now())
    }
  },

  // 6: a shared name with pauses, and at the same time a name of its own without; gaps above 10 ms are noted
  async freeze({ history, name }) {
    const note = openHistory(history)
    const shared = async () => {
      while (!stopped) {
        await delay(5 + Math.random() * 25)
        note('ask', now())
        const fence = await store.acquire('hot')
        note('grant', now(), fence)
        await delay(1)
        note('leave', now())
        await store.release('hot')
        note('left', now())
      }
    }
    const own = async () => {
      for (let last = now(); !stopped; await nextTurn()) {
        await store.acquire(name)
        await store.release(name)
        const t = now()
        if (t - last > 1e7) note('gap', last, t)
        last = t
      }
    }
    await Promise.all([shared(), own()])
  },

  // 7: many waiters
  hold: () => store.acquire('crowd'),
  drop: () => store.release('crowd'),
  crowd({ count }) {
    const served = Promise.all(
      Array.from({ length: count }, async () => {
        await store.acquire('crowd')
        await store.release('crowd')
      }),
    )
    jobs.served = async () => {
      await served
      return now()
    }
  },
  usage: () => ({ cpu: process.cpuUsage(), writes: store.stats.writes }),

  stop() {
    stopped = true
  },
  stats: () => store.stats,
}

process.on('message', async ({ id, job, ...options }) => {
  if (job === 'close') {
    stopped = true
    await store.close()
    process.disconnect()
    return
  }
  process.send({ id, result: await jobs[job](options) })
})
process.on('disconnect', () => process.exit()) // also when the runner is gone
process.send({ id: 0 })
