/** The steps of the model as numbers, and in words. */
import type { Layout } from './layout.ts'

export const SET = 0
export const DECIDE = 1
export const RAISE = 2
export const HOLD = 3
export const GIVE_UP = 4
export const HOLD_ENDS = 5
export const RENEW = 6
export const RESEED = 7
export const END = 8
export const WIPE = 9
export const READ_TOP = 10
export const ADMIT = 11
export const DROP = 12
export const READ_ALL = 13

/** Kind of step, attempt or admission, node, and another node or a set of nodes. */
export function stepOf(kind: number, who: number, where = 0, also = 0): number {
  return kind | (who << 4) | (where << 8) | (also << 12)
}

export function describeFor({
  nodes,
  node,
  attempt,
}: Layout): (step: number, before: Int32Array, after: Int32Array) => string {
  return (step, _, after) => {
    const [who, where, also] = [(step >> 4) & 15, (step >> 8) & 15, step >> 12]
    const name = 'ABC'[who]!
    const at = `node ${where + 1}`
    const fence = attempt.value.of(after[nodes + who] ?? 0)
    const top = node.top.of(after[where]!)
    switch (step & 15) {
      case SET:
        return `${at} grants ${name}: ${top}`
      case DECIDE:
        return `${name} counts the answers of ${listOf(also)}: its fence is to be ${fence}`
      case RAISE:
        return `${at} raises to ${fence} for ${name}: its top is ${top}`
      case HOLD:
        return `${name} holds with the fence ${fence}, by the answers of ${listOf(also)}`
      case GIVE_UP:
        return `${name} gives up`
      case HOLD_ENDS:
        return `${name} does not hold any more`
      case RENEW:
        return `${name} renews on ${listOf(also)}`
      case RESEED:
        return `${name} puts its entry back on ${at}: its top is ${top}`
      case END:
        return `the entry of ${name} on ${at} ends`
      case WIPE:
        return `${at} loses its memory`
      case READ_TOP:
        return `admission ${who + 1}, of node ${also + 1}, reads ${at}: ${node.blank.of(after[where]!) === 0 ? top : 'blank'}`
      case READ_ALL:
        return `admission ${who + 1} has read twice that all nodes are blank`
      case ADMIT:
        return `${at} is admitted by admission ${who + 1}: its top is ${top}`
      case DROP:
        return `admission ${who + 1} is dropped`
      default:
        throw new Error(`there is no step ${step & 15}`)
    }

    function listOf(set: number): string {
      const named = [...Array(nodes).keys()].filter((index) => set & (1 << index)).map((index) => index + 1)
      return `nodes ${named.join(', ')}`
    }
  }
}
