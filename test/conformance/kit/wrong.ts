/** Coordinators with one mistake each: what the suite must tell from a right one. */
import type { Backend, Claim, QueueView, Wake } from '../../../src/backend.ts'
import { BackendError } from '../../../src/backend.ts'
import type { Moment } from '../../../src/queue/table.ts'
import type { Clocks } from '../../../src/runtime.ts'
import type { Mistake } from '../../queue/model.ts'
import { Model } from '../../queue/model.ts'

/** Mistakes around the queue; those in the queue are the model's. */
export type Blunder =
  | 'nobody is woken'
  | 'everybody hears that it holds'
  | 'wakes name the ticket of another'
  | 'unsubscribing does nothing'
  | 'followers hear nothing'
  | 'followers hear of every name'
  | 'new info is not told'
  | 'inspect shows ids'
  | 'inspect reads patterns'
  | 'inspect shows every name'
  | 'new info is not kept'
  | 'the holder of a refusal is hidden'
  | 'something is wrong with it'
  | 'closing changes nothing'
  | 'closing twice fails'

export function wrong(clocks: Clocks, mistake?: Mistake | Blunder): Backend {
  const model = new Model(mistake as Mistake)
  const watchers = new Set<{ claim: Claim; wake: Wake }>()
  const followers = new Set<{ name: string; change: () => void }>()
  const errs = (blunder: Blunder): boolean => mistake === blunder
  let closed = false

  const apply = <T>(verb: (now: Moment) => T): T => {
    if (closed) throw new BackendError('CLOSED', 'closed')
    const now = { monotonicMs: clocks.monotonicMs(), wallMs: clocks.wallMs() }
    const before = holdersOf(model.view('', now))
    const answer = verb(now)
    announce(before, holdersOf(model.view('', now)))
    return answer
  }

  const announce = (before: Map<string, string>, after: Map<string, string>): void => {
    for (const name of new Set([...before.keys(), ...after.keys()])) {
      if (before.get(name) === after.get(name)) continue
      for (const each of followers)
        if ((each.name === name && !errs('followers hear nothing')) || errs('followers hear of every name'))
          each.change()
      if (errs('nobody is woken')) continue
      for (const { claim, wake } of watchers) {
        if (claim.name !== name) continue
        const standing = model.renew(claim, 0, { monotonicMs: clocks.monotonicMs(), wallMs: clocks.wallMs() })
        if (standing.state === 'held' || (standing.state === 'waiting' && errs('everybody hears that it holds')))
          wake({ held: standing.fence + (errs('wakes name the ticket of another') ? 1n : 0n) })
      }
    }
  }

  const subscribe = <T>(all: Set<T>, one: T): (() => void) => {
    all.add(one)
    return () => void (errs('unsubscribing does nothing') || all.delete(one))
  }

  return {
    kind: 'wrong',
    supports: { queue: true, sharing: 'permits', fence: 'volatile', wake: true },
    join: async (entry) => {
      const standing = apply((now) => model.join(entry, now))
      if (standing.state !== 'refused' || !errs('the holder of a refusal is hidden')) return standing
      const { holder: _, ...rest } = standing
      return rest
    },
    renew: async (claim, ttlMs) => apply((now) => model.renew(claim, ttlMs, now)),
    leave: async (claim, options) => apply((now) => model.leave(claim, now, options?.lingerMs)),
    lighten: async (claim, weight) => apply((now) => model.lighten(claim, weight, now)),
    describe: async (claim, info) =>
      apply((now) => {
        if (errs('new info is not kept')) return model.renew(claim, 0, now).state !== 'lost'
        return model.describe(claim, info, now)
      }),
    evict: async (name, fence) => apply((now) => model.evict(name, Number(fence), now)),
    watch: async (claim, wake) => subscribe(watchers, { claim, wake }),
    follow: async (name, change) => subscribe(followers, { name, change }),
    async *inspect(prefix) {
      const pattern = errs('inspect reads patterns')
        ? new RegExp(`^${prefix.replaceAll(/[*%]/g, '.*').replaceAll('?', '.')}`)
        : undefined
      const views = apply((now) => model.view(pattern || errs('inspect shows every name') ? '' : prefix, now))
      for (const view of views) {
        if (pattern && !pattern.test(view.name)) continue
        yield errs('inspect shows ids') ? withIds(view, model.ids(view.name)) : view
      }
    },
    diagnose: async () => [
      { level: errs('something is wrong with it') ? 'error' : 'ok', subject: 'scope', text: 'wrong on purpose' },
    ],
    close: async () => {
      if (closed && errs('closing twice fails')) throw new Error('already closed')
      closed = !errs('closing changes nothing')
    },
  }

  /** Who holds each name, and what they say, in a form that can be compared. */
  function holdersOf(views: readonly QueueView[]): Map<string, string> {
    const told = (info: string | undefined) => (errs('new info is not told') ? '' : (info ?? ''))
    return new Map(
      views.map(({ name, holders }) => [name, holders.map(({ fence, info }) => `${fence} ${told(info)}`).join()]),
    )
  }
}

function withIds(view: QueueView, ids: readonly string[]): QueueView {
  return { ...view, holders: view.holders.map((each, place) => ({ ...each, id: ids[place] })) }
}
