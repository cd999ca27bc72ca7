/** What the nodes show, as people should see it: an entry that a majority has, or may have. */
import type { EntryView, QueueView } from '../backend.ts'

/** @param most how many must show it */
export function merged(shown: readonly (readonly QueueView[])[], most: number): QueueView[] {
  const names = [...new Set(shown.flatMap((views) => views.map(({ name }) => name)))].sort()
  return names.flatMap((name) => {
    const queues = shown.flatMap((views) => views.filter((view) => view.name === name))
    const holder = holderOf(
      queues.flatMap(({ holders }) => holders),
      most,
    )
    return holder ? [{ name, capacity: queues[0]!.capacity, holders: [holder], waiters: [] }] : []
  })
}

/** The one that most nodes show. Two majorities meet in a node, and a node has one holder, so one at most has one. */
function holderOf(entries: readonly EntryView[], most: number): EntryView | undefined {
  const showing = (fence: bigint): EntryView[] => entries.filter((each) => each.fence === fence)
  const [same = []] = entries.map(({ fence }) => showing(fence)).sort((a, b) => b.length - a.length)
  // Where fewer than a majority show it, nothing stands at that place.
  return same.sort((a, b) => b.ttlMs - a.ttlMs)[most - 1]
}
