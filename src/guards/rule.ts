/**
 * The resource's half of a fence: whom it lets in.
 *
 * Of each name it keeps x, the largest exclusive fence that it has accepted, and s, the largest of any. An exclusive access
 * is accepted iff its fence is not below s, and then both become it; a shared one iff its fence is not below x, and then s
 * rises to it. Reads are judged as writes are. Otherwise:
 * 1. the new holder reads;  2. the write of the old one arrives, with the largest fence seen so far, and is accepted;
 * 3. the new holder writes what it made of the value that it had read: the old one's update is lost.
 *
 * Redis and SQL say the same in their languages (`redis.ts`, `sql.ts`); a test holds them against this file.
 */
import { describe } from '../core/duration.ts'
import { ArgumentRangeError, ArgumentTypeError, NotSupportedError, StaleFenceError } from '../core/errors.ts'
import type { Mode } from '../core/request.ts'
import { checkName } from '../core/request.ts'

/** Who comes to a resource. A `Lease` is one; of a `LeaseSet`, `{ name, fence: set.fences.get(name)! }`. */
export interface Holder {
  /** The name that protects the resource: what is accepted is kept for each name apart. */
  readonly name: string
  readonly fence: bigint
  /** Default `'exclusive'`. A leader is exclusive; permits cannot be ordered, and are refused. */
  readonly mode?: Mode
}

/** A holder whose words were checked. */
export interface Visitor {
  readonly name: string
  readonly fence: bigint
  readonly mode: 'exclusive' | 'shared'
}

/** What a resource remembers of a name. */
export interface Seen {
  readonly x: bigint
  readonly s: bigint
}

export const UNSEEN: Seen = { x: 0n, s: 0n }

/** What is remembered after this visitor. @throws StaleFenceError if it is refused; then all is as before */
export function accept(seen: Seen, visitor: Visitor): Seen {
  const { fence, mode } = visitor
  if (fence < limitFor(seen, mode)) throw refusal(visitor, seen)
  if (mode === 'exclusive') return { x: fence, s: fence }
  return fence > seen.s ? { x: seen.x, s: fence } : seen
}

/** Whether `accept` would let it in. */
export function welcome(seen: Seen, { fence, mode }: Visitor): boolean {
  return fence >= limitFor(seen, mode)
}

export function refusal({ name, fence, mode }: Visitor, seen: Seen): StaleFenceError {
  return new StaleFenceError(name, fence, limitFor(seen, mode))
}

/** The smallest fence that is still accepted. */
function limitFor(seen: Seen, mode: Visitor['mode']): bigint {
  return mode === 'exclusive' ? seen.s : seen.x
}

/** Fences are below this: they are numbers in Lua, and may be in a database. */
const FENCE_LIMIT = 2n ** 53n

/**
 * @throws ArgumentTypeError, ArgumentRangeError if this is no holder; NotSupportedError for permits, whose holders at one
 *   time have several fences, all of them right
 */
export function visitorOf(holder: Holder): Visitor {
  if (typeof holder !== 'object' || holder === null)
    throw new ArgumentTypeError(`the holder is ${describe(holder)}; give a lease, or { name, fence, mode }`)
  const { name, fence, mode = 'exclusive' } = holder
  checkName(name)
  if (typeof fence !== 'bigint')
    throw new ArgumentTypeError(`fence is ${describe(fence)}; give the bigint of a lease, such as lease.fence`)
  if (fence < 1n || fence >= FENCE_LIMIT)
    throw new ArgumentRangeError(`fence is ${fence}; a fence is above 0 and below 2^53`)
  switch (mode) {
    case 'exclusive':
    case 'leader':
      return { name, fence, mode: 'exclusive' }
    case 'shared':
      return { name, fence, mode }
    case 'permits':
      throw new NotSupportedError(
        name,
        `"${name}": the fences of permits cannot be ordered, so a guard cannot tell a late holder from one beside it; ` +
          'use a mutex for each thing that a permit is used on.',
      )
    default:
      throw new ArgumentTypeError(`mode is ${describe(mode)}; there are exclusive, shared, leader and permits`)
  }
}
