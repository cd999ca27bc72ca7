import { expect } from 'vitest'
import type { Hand } from '../../kit/hand.ts'

/** It is told, and not by its own clock. */
export async function told(hand: Hand): Promise<void> {
  expect(await hand.loss()).toBe('gone')
}
