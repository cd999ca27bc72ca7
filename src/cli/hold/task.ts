/** What is to be run, and how it is held to its lease: what `run` and `lead` have in common. */
import { marginOf } from '../../core/request.ts'
import { clean } from '../../core/text.ts'
import { usageError } from '../exit.ts'
import type { Given, HoldValues, OnLost } from '../table.ts'
import { findCommand } from './executable.ts'

const TTL_MS = 30_000
const KILL_AFTER_MS = 5000

/** Durations in milliseconds. */
export interface Task {
  readonly name: string
  /** The file to execute. */
  readonly path: string
  /** As it was typed: the command, then its arguments. */
  readonly words: readonly string[]
  readonly ttlMs: number
  readonly killAfterMs: number
  readonly signal: NodeJS.Signals
  readonly maxTimeMs: number
  readonly onLost: OnLost
}

/** @throws ExitError 64, 126, 127 */
export function taskOf(verb: string, { values, words, command }: Given<HoldValues>, onLost: OnLost = 'term'): Task {
  const [name, ...more] = words
  if (name === undefined) throw usageError(`${verb} needs the name of a lock`)
  const run = commandOf(verb, name, more, values.command, command)
  if (values.quiet && values.verbose) throw usageError('--quiet and --verbose; leave one out')
  const ttlMs = values.ttl ?? TTL_MS
  const task = {
    name,
    words: run,
    ttlMs,
    killAfterMs: killAfterMs(ttlMs, values['kill-after']),
    signal: values.signal ?? 'SIGTERM',
    maxTimeMs: values['max-time'] ?? Infinity,
    onLost,
  }
  if (task.maxTimeMs <= 0) throw usageError('--max-time must be more than 0')
  return { ...task, path: findCommand(run[0] ?? '') }
}

function commandOf(
  verb: string,
  name: string,
  more: readonly string[],
  line: string | undefined,
  words: readonly string[] = [],
): readonly string[] {
  if (line !== undefined) {
    if (words.length > 0 || more.length > 0) throw usageError('-c takes the place of -- command; leave one out')
    return ['/bin/sh', '-c', line]
  }
  if (words.length > 0 && more.length === 0) return words
  const typed = clean(more.join(' ')) || 'command'
  throw usageError(`${verb} needs -- before its command: holdfast ${verb} ${clean(name)} -- ${typed}`)
}

/** A lease is renewed every third of its ttl. What is left of it then must be enough to end the command in. */
function killAfterMs(ttlMs: number, given: number | undefined): number {
  const interval = ttlMs / 3
  const margin = marginOf(ttlMs, undefined)
  const left = Math.max(0, ttlMs - interval - margin)
  if (given === undefined) return Math.min(KILL_AFTER_MS, left / 2)
  if (given <= left) return given
  const text = (ms: number): string => `${Number((ms / 1000).toFixed(2))} s`
  throw usageError(
    `--ttl is ${text(ttlMs)}, but it takes ${text(interval + given + margin)}: ${text(interval)} between renewals + ` +
      `${text(given)} --kill-after + ${text(margin)} margin. Use a longer --ttl or a shorter --kill-after`,
  )
}
