/** Counts the timers of this process that have been set and have neither fired nor been cancelled. */

/** From here on. Answers how many there are now. */
export function countTimers(): () => number {
  const live = new Set<NodeJS.Timeout>()
  const { setTimeout: set, clearTimeout: clear } = globalThis
  globalThis.setTimeout = ((act: (...words: unknown[]) => void, ms?: number, ...words: unknown[]) => {
    const timer = set(() => {
      live.delete(timer)
      act(...words)
    }, ms)
    live.add(timer)
    return timer
  }) as typeof setTimeout
  globalThis.clearTimeout = ((timer: NodeJS.Timeout | undefined) => {
    if (timer !== undefined) live.delete(timer)
    clear(timer)
  }) as typeof clearTimeout
  return () => live.size
}
