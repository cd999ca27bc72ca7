/** Where everything stands in a state: a word for each node, a word for each attempt, and one for the rest. */
import type { Field } from '../fields.ts'
import { fieldsOfWord } from '../fields.ts'
import type { Rules } from './rules.ts'

// The phases of an attempt.
export const IDLE = 0
export const SETTING = 1
export const RAISING = 2
export const HOLDING = 3
export const GAVE_UP = 4
export const HAS_HELD = 5

// What is between an attempt and a node. Above GRANTED: the number that was answered, and may be counted yet.
export const SET_SENT = 0
export const NOTHING = 1
export const RAISE_SENT = 2
export const RAISED = 3
export const BOTH_SENT = 4
export const GRANTED = 4

// What a node is to an admission.
export const UNREAD = 0
export const TO_ADMIT = 1
export const FORMER_LIFE = 2
export const READ = 3
export const READ_BLANK = 4
export const FORMER_BLANK = 5

export interface Layout {
  readonly words: number
  readonly nodes: number
  readonly attempts: number
  readonly admissions: number
  /** Of a node's word. All that concerns a node is in its word: sorting these words forgets which node is which. */
  readonly node: {
    /** The attempt that owns the name here, plus 1; 0 for nobody. */
    readonly owner: Field
    /** The largest fence this node has minted or been raised to. */
    readonly top: Field
    /** It was wiped, and is not admitted yet. */
    readonly blank: Field
    /** For each attempt: what is between it and this node. */
    readonly relation: readonly Field[]
    /** For each attempt: the node waits for its end. */
    readonly awaited: readonly Field[]
    /** For each attempt: the validity of its lease comes from this node, among others. */
    readonly supports: readonly Field[]
    /** For each attempt: its set was carried out twice. */
    readonly repeated: readonly Field[]
    /** For each attempt: its entry is not the one whose answer it has counted or will count. */
    readonly stale: readonly Field[]
    /** For each admission: what this node is to it. */
    readonly role: readonly Field[]
  }
  /** Of an attempt's word. */
  readonly attempt: {
    readonly phase: Field
    /** While setting, the largest fence of those that held before it began; then its own. */
    readonly value: Field
    /** Its fence does not exceed that of one that held before it began. */
    readonly late: Field
  }
  /** Of the last word. */
  readonly rest: {
    readonly wipesLeft: Field
    /** For each admission: the largest top it has read. */
    readonly maximum: readonly Field[]
  }
}

export function layoutOf(rules: Rules): Layout {
  const { nodes, attempts, quarantine, repeats, clocked } = rules
  const admissions = quarantine?.admissions ?? 0
  const perAttempt = (fields: () => Field): Field[] => Array.from({ length: attempts }, fields)
  const perAdmission = (fields: () => Field): Field[] => Array.from({ length: admissions }, fields)
  const [node, attempt, rest] = [fieldsOfWord(), fieldsOfWord(), fieldsOfWord()]
  return {
    words: nodes + attempts + 1,
    nodes,
    attempts,
    admissions,
    node: {
      owner: node(2),
      top: node(4),
      blank: node(quarantine ? 1 : 0),
      relation: perAttempt(() => node(5)),
      awaited: perAttempt(() => node(quarantine ? 1 : 0)),
      supports: perAttempt(() => node(clocked ? 1 : 0)),
      repeated: perAttempt(() => node(repeats ? 1 : 0)),
      stale: perAttempt(() => node(repeats ? 1 : 0)),
      role: perAdmission(() => node(3)),
    },
    attempt: { phase: attempt(3), value: attempt(4), late: attempt(1) },
    rest: { wipesLeft: rest(2), maximum: perAdmission(() => rest(4)) },
  }
}
