/** Chance for a test: it prints its seed first, and `HOLDFAST_SEED` repeats it as far as processes can be repeated. */
export function seeded(): () => number {
  const given = process.env['HOLDFAST_SEED']
  let state = given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given)
  console.log(`seed ${state}`)
  // mulberry32
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}
