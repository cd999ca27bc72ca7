// One process with one client: `worker.mjs <client> <endpoint>,<endpoint>`.
import { setTimeout as sleep } from 'node:timers/promises'
import { CLIENTS } from './clients.mjs'

const [name, endpoints] = process.argv.slice(2)
const client = await CLIENTS[name](endpoints.split(','))

const jobs = {
  /** One call after the other. */
  async calls({ count }) {
    const took = []
    const before = process.cpuUsage()
    for (let n = 0; n < count; n += 1) {
      const start = performance.now()
      await client.toggle('alone')
      took.push((performance.now() - start) * 1e3)
    }
    return { took, cpu: used(before) / count }
  },
  /** 64 tasks, each with a key of its own. */
  async many({ count }) {
    const each = Math.ceil(count / 64)
    const before = process.cpuUsage()
    const start = performance.now()
    const task = async (key) => {
      for (let n = 0; n < each; n += 1) await client.toggle(key)
    }
    await Promise.all(Array.from({ length: 64 }, (_, index) => task(`many-${index}`)))
    return { rate: (each * 64e3) / (performance.now() - start), cpu: used(before) / each / 64 }
  },
  /** From a change to the word of it on a stream; the change's own answer is awaited, too. */
  async stream({ count }) {
    let heard
    await client.watch('watched', () => heard?.())
    const took = []
    const before = process.cpuUsage()
    for (let n = 0; n < count; n += 1) {
      const start = performance.now()
      const told = new Promise((resolve) => (heard = resolve))
      const [at] = await Promise.all([told.then(() => performance.now()), client.toggle('watched')])
      took.push((at - start) * 1e3)
    }
    return { took, cpu: used(before) / count }
  },
  /** Until a call is answered, and how many of the next second's were not; `null`: none was. */
  async recovery({ limitMs }) {
    const start = performance.now()
    let failed = 0
    while (performance.now() - start < limitMs) {
      try {
        await Promise.race([client.toggle('alone'), sleep(5000).then(() => Promise.reject(new Error('no answer')))])
        const firstMs = performance.now() - start
        let later = 0
        for (let n = 0; n < 30; n += 1) await client.toggle('alone').catch(() => (later += 1))
        return { firstMs, failed, later }
      } catch {
        failed += 1
      }
    }
    return { firstMs: null, failed, later: null }
  },
}

process.on('message', async ({ job, options }) => {
  try {
    process.send({ answer: await jobs[job](options) })
  } catch (error) {
    process.send({ error: String(error) })
  }
})
process.on('disconnect', () => process.exit())
process.send({ ready: true })

function used(before) {
  const { user, system } = process.cpuUsage(before)
  return user + system
}
