/** What the diagnoses of servers have in common. */
import type { Backend, Entry, Finding } from './backend.ts'
import { WHOLE } from './backend.ts'
import { realRuntime } from './runtime.ts'

/** A round trip that takes longer makes short leases a gamble. */
const SLOW_MS = 50

export function ok(subject: string, text: string): Finding {
  return { level: 'ok', subject, text }
}

export function advice(subject: string, text: string): Finding {
  return { level: 'advice', subject, text }
}

export function error(subject: string, text: string): Finding {
  return { level: 'error', subject, text }
}

export function latency(tookMs: number, where = ''): Finding {
  return tookMs > SLOW_MS
    ? advice('latency', `${where}an answer took ${tookMs.toFixed(0)} ms; leases should last a hundred times as long`)
    : ok('latency', `${where}an answer took ${tookMs.toFixed(1)} ms`)
}

/** Whether this user may do what a lock does: by doing it, once, on a name that nobody uses. */
export async function rights(backend: Backend): Promise<Finding> {
  const name = `diagnose:${realRuntime.token()}`
  const whole = { weight: WHOLE, capacity: WHOLE, ttlMs: 1000, waitTtlMs: 1000, wait: true }
  const entry = (): Entry => ({ name, id: realRuntime.token(), ...whole })
  const [holder, waiter] = [entry(), entry()]
  try {
    let told = false
    const unwatch = await backend.watch(waiter, () => (told = true))
    const standing = await backend.join(holder)
    // A node of a quorum that is in quarantine; of that, others tell.
    if (standing.state === 'refused') return advice('rights', `not tried, for it refuses all (${standing.reason})`)
    await backend.join(waiter)
    await backend.renew(holder, 1000)
    // Some coordinators are asked about many in other words than about one.
    await backend.renewAll?.([holder, waiter], 1000)
    await backend.leave(holder)
    for (let tries = 0; tries < 20 && !told; tries += 1)
      await new Promise<void>((go) => realRuntime.after(10, go).keepAlive(true))
    await backend.leave(waiter)
    unwatch()
    return told
      ? ok('rights', 'this user may do all that a lock does')
      : advice('messages', 'no message came: waiters are woken by their timers only, which takes seconds')
  } catch (cause) {
    return error('rights', `a lock could not be taken and released: ${(cause as Error).message}`)
  }
}
