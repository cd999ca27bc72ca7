import type { Model } from './search.ts'

/** A construction as it is, or without one of its parts, with what a search of it finds. */
export interface Variant {
  readonly name: string
  /** A sentence that the search bears out. */
  readonly shows: string
  /** Of how many of what. */
  readonly size: string
  /** Makes the model. */
  readonly model: () => Model
  /** All states, none of which breaks anything; or what breaks, and after how many steps at the soonest. */
  readonly finds: { readonly states: number } | { readonly broken: string; readonly steps: number }
  /** Takes more than a few seconds: for `npm run model`. */
  readonly long?: boolean
}
