import { expect } from 'vitest'
import type { RedisScene } from '../../kit/redis-scene.ts'

/**
 * A holder of which the server knows nothing any more, beside another that it has let in: they overlap, it is told at its next
 * renewal, and fences and fenced data are right. Its ttl must be long: the other one comes before that renewal.
 */
export async function forgotten(set: RedisScene, forget: () => unknown): Promise<void> {
  const [holder, other] = set.hands
  const fence = await holder.enters()
  await forget()
  other.works()
  await other.writes()
  expect(await holder.loss()).toBe('gone')
  expect(await holder.finishes()).toBe('refused')
  expect(await holder.enters()).toBeGreaterThan(fence)
  expect(await holder.finishes()).toBe('written')
  await set.recovers()
  const { overlaps, lostUpdates } = await set.verdict('counted')
  expect([overlaps > 0, lostUpdates > 0]).toEqual([true, true])
}
