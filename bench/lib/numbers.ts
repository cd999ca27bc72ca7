/** Medians, spreads, and numbers as people read them. */

export function quantile(samples: readonly number[], p: number): number {
  const sorted = samples.filter((each) => !Number.isNaN(each)).sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}

/** Three digits that count: `0.0312`, `4.56`, `12,300`. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (Math.abs(value) < 1000) return String(Number(value.toPrecision(3)))
  return Number(value.toPrecision(3)).toLocaleString('en')
}

/** `median (min..max)` */
export function spread(samples: readonly number[], unit = ''): string {
  if (samples.every((each) => Number.isNaN(each))) return ''
  const [low, high] = [short(quantile(samples, 0)), short(quantile(samples, 1))]
  return `${short(median(samples))}${unit}${low === high ? '' : ` (${low}..${high})`}`
}
