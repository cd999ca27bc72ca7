/**
 * What a coordinator can do that may be one of the independent nodes of a quorum, beside the contract of a backend.
 *
 * Three promises, and the quorum's fences rest on them:
 * - All fences of a node are larger than any it has minted or been told before, whatever their names.
 * - What it was told, it knows for ever; or else it notices that it has forgotten.
 * - A node that has forgotten grants nothing until the longest lease is over, and until it was told by others what it
 *   may have known.
 */
import type { Backend, Claim, Entry, Renewal, Standing } from '../backend.ts'

/** How far ahead of the clock of a node a fence may be that it is proposed, so that no client can use them up. */
export const PROPOSED_AHEAD_MAX_MS = 1000

export interface Node extends Backend {
  /**
   * As that of any coordinator. `proposed` is the fence that the entry should draw, so that it draws the same one on all nodes; a
   * node that knows of a larger one, or whose clock is ahead of it, draws a larger one, and one whose clock is
   * `PROPOSED_AHEAD_MAX_MS` behind it does not heed it.
   */
  join(entry: Entry, proposed?: bigint): Promise<Standing>

  /**
   * The quorum's second round: the fence of this holder is `fence`, and whatever is minted from now on is larger. Only for
   * an entry that holds alone, and was never gone since it drew the ticket `drawn`: this must not put it in, and a join
   * that was carried out twice may have. Its lease stays what it is.
   */
  confirm(claim: Claim, drawn: bigint, fence: bigint, signal?: AbortSignal): Promise<Renewal>

  /**
   * Put in an entry that holds by the word of a majority, if its name is free here. Also during a quarantine: it takes
   * nothing from anybody, and it never counts for an acquisition.
   */
  seed(entry: Entry, fence: bigint, signal?: AbortSignal): Promise<Standing>

  /** What the node knows of itself. */
  recall(signal?: AbortSignal): Promise<Memory>

  /**
   * End the quarantine of this incarnation; fences are larger than `top` from now on. `false`: it has forgotten again
   * since, or has not waited for long enough.
   */
  admit(incarnation: string, top: bigint, signal?: AbortSignal): Promise<boolean>
}

export interface Memory {
  /** Another one each time that the node has forgotten. */
  readonly incarnation: string
  /** No fence of it is larger. */
  readonly top: bigint
  /** How long it will grant nothing; 0: it waits to be admitted. `undefined`: it grants. */
  readonly quarantineMs: number | undefined
}
