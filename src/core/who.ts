/** What an entry says of its owner, as it is stored and as people read it. */
import type { Identity } from '../runtime.ts'
import { clean } from './text.ts'

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

/** The info of an entry as text; `undefined` when it says nothing. */
export function describeWho(info: string | undefined): string | undefined {
  return whoText(decodeWho(info))
}

/** `web-2 pid 4121 (alice, nightly report)`. Whoever wrote it is not trusted: it ends up in messages and on terminals. */
export function whoText(who: Partial<Who>): string | undefined {
  const part = (value: unknown): string =>
    typeof value === 'string' || typeof value === 'number' ? clean(String(value)) : ''
  const pid = part(who.pid)
  const place = [part(who.host), pid && `pid ${pid}`].filter(Boolean).join(' ')
  const person = [part(who.user), part(who.label)].filter(Boolean).join(', ')
  return place && person ? `${place} (${person})` : place || person || undefined
}
