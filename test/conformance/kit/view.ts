import type { Backend, Entry } from '../../../src/backend.ts'
import { BackendError } from '../../../src/backend.ts'
import type { Node } from '../../../src/quorum/node.ts'
import { faulty } from '../../../src/testing/faults.ts'

/** A backend of its own over a shared one: closing it ends its own subscriptions and leaves the shared one open. */
export function viewOf(shared: Backend): Backend {
  const subscriptions = new Set<() => void>()
  let closed = false
  const open = (): Backend => {
    if (closed) throw new BackendError('CLOSED', 'this view was closed')
    return shared
  }
  const subscribed = async (subscribing: Promise<() => void>): Promise<() => void> => {
    const unsubscribe = await subscribing
    subscriptions.add(unsubscribe)
    return unsubscribe
  }
  return {
    kind: shared.kind,
    supports: shared.supports,
    join: async (...words) => open().join(...words),
    ...(shared.joinAll && { joinAll: async (entries: readonly Entry[]) => open().joinAll!(entries) }),
    renew: async (...words) => open().renew(...words),
    leave: async (...words) => open().leave(...words),
    lighten: async (...words) => open().lighten(...words),
    describe: async (...words) => open().describe(...words),
    evict: async (...words) => open().evict(...words),
    diagnose: async (...words) => open().diagnose(...words),
    watch: async (...words) => subscribed(Promise.resolve(shared.watch(...words))),
    follow: async (...words) => subscribed(shared.follow(...words)),
    async *inspect(...words) {
      yield* open().inspect(...words)
    },
    async close() {
      closed = true
      for (const unsubscribe of subscriptions) unsubscribe()
    },
  }
}

/** The same of a node. */
export function nodeViewOf(shared: Node): Node {
  const words = {
    confirm: async (...each: Parameters<Node['confirm']>) => shared.confirm(...each),
    seed: async (...each: Parameters<Node['seed']>) => shared.seed(...each),
    recall: async () => shared.recall(),
    admit: async (...each: Parameters<Node['admit']>) => shared.admit(...each),
  }
  return Object.assign(viewOf(shared), words)
}

/** A coordinator that keeps no queue: whoever does not hold is refused, whether or not it would wait. */
export function withoutQueue(backend: Backend): Backend {
  const wrapped = faulty(backend, () => undefined)
  wrapped.join = (entry) => backend.join({ ...entry, wait: false })
  return Object.assign(wrapped, { supports: { ...backend.supports, queue: false } })
}
