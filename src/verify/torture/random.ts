/** Chance that a seed repeats, for what is told apart by words: the same seed and the same words draw the same numbers. */

export type Random = () => number

/** From 0 to below 1 (mulberry32; its start is a hash of the words, FNV-1a). */
export function randomOf(...words: readonly (string | number)[]): Random {
  let state = 0x811c9dc5
  for (const letter of words.join('\0')) state = Math.imul(state ^ letter.codePointAt(0)!, 0x01000193)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[Math.floor(random() * choices.length)]!
}
