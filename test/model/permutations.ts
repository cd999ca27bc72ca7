/** All orders of these, the given one first. */
export function permutations(all: readonly number[]): number[][] {
  if (all.length < 2) return [[...all]]
  return all.flatMap((first) => permutations(all.filter((one) => one !== first)).map((others) => [first, ...others]))
}
