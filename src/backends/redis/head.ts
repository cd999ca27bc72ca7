/** What the head of a queue is made of: for the parts of the script (`script.ts`). */

/** How long a name is remembered after its last lease, in microseconds. */
export const SLACK = 60_000_000
export const SPARE = 30_000_000
export const FORMAT = 1
export const FREE = 0
export const ALONE = 1
export const CROWDED = 2
/**
 * What a head begins with, whatever its mode: format, mode, last fence, until when it is followed, when it expires.
 * What follows when one is alone: in front, what most verbs look at, its end, lock delay, and owner token; then since when,
 * ttl, tag, and what else its terms say, as they came. What follows for a crowd: capacity, entries, holders, their weight, the
 * earliest end. Numbers are doubles, big-endian, and a text stands behind its length; behind it all there may be what is left
 * of a longer one.
 */
export const HEAD = 'Bddd'
export const MODE_AT = 1
export const LAST_AT = 2
export const EXPIRES_AT = 18
export const ENDS_AT = 26
export const FRONT = 'ddI4c0'
export const BACK = 'ddI4c0I4c0'
export const CROWD = 'ddddd'
