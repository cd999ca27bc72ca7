/** How things are said to people. */

/** Without what could steer a terminal or turn the reading order: control and format characters, other line ends. */
export function clean(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, '')
}

/** A duration for people: `850 ms`, `1.2 s`, `90 s`. */
export function seconds(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  return `${ms < 10_000 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s`
}

/**
 * `; did you mean run?`, or nothing. One or two letters that are wrong, missing or too many are a slip; more is another word.
 *
 * By the distance of Levenshtein (1966): how many letters have to be put in, taken out or changed.
 */
export function didYouMean(word: string, words: Iterable<string>): string {
  const most = word.length < 4 ? 1 : 2
  const near = [...words].map((each) => ({ each, far: distance(word, each) })).filter(({ far }) => far <= most)
  const [nearest] = near.sort((a, b) => a.far - b.far)
  return nearest ? `; did you mean ${nearest.each}?` : ''
}

function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const changed = above[j - 1]! + Number(a[i - 1] !== b[j - 1])
      row.push(Math.min(changed, above[j]! + 1, row[j - 1]! + 1))
    }
    above = row
  }
  return above[b.length]!
}
