/** What this machine has for faults that need something. */
import { spawnSync } from 'node:child_process'
import type { Need } from '../../src/verify/torture/faults.ts'
import { Dial } from '../../test/kit/clocks.ts'
import { SmallDisk } from '../../test/kit/small-disk.ts'

/** Its monotonic clock is far ahead. */
export const AHEAD_S = 100_000
const [UNSHARE, WORDS] = ['unshare', ['-T', '--monotonic', String(AHEAD_S), '--fork', '--kill-child']] as const
/** What starts a process in a time namespace of its own. */
export const ELSEWHERE: readonly string[] = [UNSHARE, ...WORDS]

/** Whether there are wires is a matter of the coordinator. */
type NeedOfMachine = Exclude<Need, 'wire'>

const needs: Readonly<Record<NeedOfMachine, { readonly text: string; readonly isThere: () => boolean }>> = {
  clock: { text: 'a C compiler', isThere: () => Dial.possible },
  'small disk': { text: 'root, and the right to mount', isThere: () => SmallDisk.possible },
  'time namespace': {
    text: 'root, and Linux from 5.6 on',
    isThere: () => spawnSync(UNSHARE, [...WORDS, 'true']).status === 0,
  },
}

/** What a machine has to have for that. */
export function textOf(need: NeedOfMachine): string {
  return needs[need].text
}

const ALL = Object.keys(needs) as NeedOfMachine[]

export const HERE: ReadonlySet<Need> = new Set(ALL.filter((need) => needs[need].isThere()))
