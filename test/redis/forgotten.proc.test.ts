/** How soon a server has forgotten names that were used once. Takes three minutes: `HOLDFAST_LONG=1`, or `npm run test:matrix long`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, onTestFinished, test } from 'vitest'
import { connect } from '../../src/index.ts'
import { LONG } from '../kit/effort.ts'
import { RedisServer } from '../kit/redis.ts'

const NAMES = 100_000
const AT_ONCE = 1000
/** A name is forgotten one to two minutes after its last lease; the server removes what has expired in the background. */
const STATED_MS = 150_000
const LOOKS_MS = 1000
/** Buffers of two connections, and tables that have become empty. */
const KEPT_BYTES = 256 * 1024

test.runIf(LONG)(
  `${NAMES} names used once: the memory of the server is back where it was within two and a half minutes`,
  { timeout: 600_000 },
  async () => {
    const server = await RedisServer.start()
    const admin = new Redis(server.port)
    const locks = connect(server.url)
    onTestFinished(async () => {
      await locks.close()
      admin.disconnect()
      await server.end()
    })
    const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await admin.info('memory'))![1])
    // Connections and scripts are there before and after.
    await locks.run('warm', () => {})
    const before = await used()
    const startedAt = performance.now()
    for (let first = 0; first < NAMES; first += AT_ONCE)
      await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => locks.run(`name:${first + n}`, () => {})))
    const usedAt = performance.now()
    const most = await used()
    expect(await admin.dbsize()).toBeGreaterThan(NAMES / 2)
    const sinceUsed = (): number => performance.now() - usedAt
    const isBack = async (): Promise<boolean> => (await admin.dbsize()) === 0 && (await used()) - before < KEPT_BYTES
    while (!(await isBack()) && sinceUsed() < STATED_MS) await sleep(LOOKS_MS)
    const now = await used()
    const [mostKb, beforeKb, nowKb] = [most, before, now].map((bytes) => Math.round(bytes / 1024))
    const perName = Math.round((most - before) / NAMES)
    console.log(
      `${NAMES} names in ${((usedAt - startedAt) / 1000).toFixed(1)} s: ${beforeKb} KB before, ${mostKb} KB at most ` +
        `(${perName} bytes a name), ${nowKb} KB ${(sinceUsed() / 1000).toFixed(0)} s after the last`,
    )
    expect(await isBack()).toBe(true)
  },
)
