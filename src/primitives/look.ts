/** One queue, for people to see. */
import type { QueueView } from '../backend.ts'
import type { Session } from '../core/session.ts'

/** The queue of `name` as it stands; `undefined` when nobody is in it. */
export function look(session: Session, name: string, queue: string): Promise<QueueView | undefined> {
  return session.ask(name, async (signal) => {
    // It asks for a beginning: names that go on after it come as well.
    for await (const view of session.backend.inspect(queue, signal)) if (view.name === queue) return view
    return undefined
  })
}
