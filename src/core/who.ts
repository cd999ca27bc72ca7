/** What an entry says of its owner, as it is stored and as people read it. */
import type { Identity } from '../runtime.ts'

/** Shown to everybody who can look at the coordinator: no command line, no environment, nothing secret. */
export interface Who extends Identity {
  readonly label?: string
  /** A candidate's value, in an election. */
  readonly value?: string
}

export function encodeWho(who: Who): string {
  return JSON.stringify(who)
}

/** Read the info of an entry. Whoever wrote it may be of another version or language, so nothing about it is trusted. */
export function decodeWho(info: string | undefined): Partial<Who> {
  if (info === undefined) return {}
  try {
    const value: unknown = JSON.parse(info)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    // Not ours to judge: text that is no JSON is shown as a label.
    return { label: info }
  }
}

/** `web-2 pid 4121 (alice, nightly report)` */
export function describeWho(info: string | undefined): string | undefined {
  const { host, pid, user, label } = decodeWho(info)
  const place = [host, pid === undefined ? undefined : `pid ${pid}`].filter((part) => part !== undefined).join(' ')
  const person = [user, label].filter((part) => part !== undefined).join(', ')
  const text = place && person ? `${place} (${person})` : place || person
  return text === '' ? undefined : text
}
