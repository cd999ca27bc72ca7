/** All models with their variants, whose names are unique. */
import { handOverVariants } from './hand-over/variants.ts'
import { quorumVariants } from './quorum/variants.ts'
import { successionVariants } from './succession/variants.ts'
import type { Variant } from './variant.ts'

export const models: readonly { readonly name: string; readonly variants: readonly Variant[] }[] = [
  { name: 'quorum', variants: quorumVariants },
  { name: 'hand-over', variants: handOverVariants },
  { name: 'succession', variants: successionVariants },
]
