/**
 * The results of one workload.
 *
 * All contestants run in every repetition, in an order that rotates, so a change of the machine's mood meets all of them;
 * the ratio is taken within each repetition, before anything is averaged.
 */
import { median, quantile, short, spread } from './numbers.ts'

/** What one contestant showed in one repetition. */
export type Sample = Readonly<Record<string, number>>

export interface Column {
  readonly key: string
  readonly title: string
}

export interface Plan {
  readonly id: string
  readonly group: 'memory' | 'file' | 'redis' | 'etcd' | 'cli'
  readonly title: string
  /** The first one is the reference: holdfast, where it takes part. */
  readonly contestants: readonly string[]
  readonly columns: readonly Column[]
  /** What one operation costs: the ratio is that of this number. Left out: no ratio. */
  readonly cost?: (sample: Sample) => number
  /** What it must show. */
  readonly goals?: readonly Goal[]
}

export interface Goal {
  readonly text: string
  /** Of each repetition, the number whose median must not be above `most`, or not below `least`. */
  readonly value: (sheet: Sheet) => readonly number[]
  readonly most?: number
  readonly least?: number
  readonly unit?: string
}

/** A gap below this is a tie. */
const TIE = 1.2

export class Sheet {
  readonly plan: Plan
  /** By contestant, one for each repetition; `undefined`: it failed. */
  readonly samples = new Map<string, (Sample | undefined)[]>()
  readonly failures: string[] = []

  constructor(plan: Plan) {
    this.plan = plan
    for (const name of plan.contestants) this.samples.set(name, [])
  }

  /** Run all contestants `count` times. One that fails is noted, and the others go on. */
  async rounds(count: number, progress: (text: string) => void, run: (name: string) => Promise<Sample>): Promise<void> {
    const { contestants } = this.plan
    for (let round = 0; round < count; round += 1) {
      for (let place = 0; place < contestants.length; place += 1) {
        const name = contestants[(round + place) % contestants.length]!
        this.samples.get(name)!.push(await this.#attempt(name, run))
      }
      progress(`${this.plan.group} ${this.plan.id}: round ${round + 1} of ${count}`)
    }
  }

  /** One number of one contestant, over all repetitions. */
  values(name: string, key: string): number[] {
    return this.samples.get(name)!.map((sample) => sample?.[key] ?? Number.NaN)
  }

  /** How many times as much an operation costs `name` as it costs `base`, in each repetition. */
  ratios(name: string, base: string): number[] {
    const costs = (each: string): number[] =>
      this.samples.get(each)!.map((sample) => (sample ? this.plan.cost!(sample) : Number.NaN))
    const costsOfBase = costs(base)
    return costs(name).map((cost, round) => cost / costsOfBase[round]!)
  }

  markdown(): string {
    const { title, contestants, columns, cost, goals = [] } = this.plan
    const reference = contestants[0]!
    const compared = cost !== undefined && contestants.length > 1
    const head = ['', ...columns.map((column) => column.title)]
    if (compared) head.push(`time beside \`${reference}\``, '')
    const rows = contestants.map((name) => {
      const cells = columns.map(({ key }) => spread(this.values(name, key)))
      if (compared && name === reference) cells.push('1', '')
      else if (compared) cells.push(...this.#verdict(name, reference))
      return [name, ...cells]
    })
    const lines = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`)
    const checks = goals.map((goal) => {
      const values = goal.value(this)
      const { text, unit, most = Infinity, least = -Infinity } = goal
      const met = median(values) <= most && median(values) >= least
      return `- ${text}: ${spread(values, unit)}; ${met ? 'met' : '**not met**'}`
    })
    const failures = this.failures.map((failure) => `- failed: ${failure}`)
    return [`### ${title}`, '', ...lines, '', ...checks, ...failures, ''].join('\n').replace(/\n{3,}/g, '\n\n')
  }

  async #attempt(name: string, run: (name: string) => Promise<Sample>): Promise<Sample | undefined> {
    try {
      return await run(name)
    } catch (error) {
      this.failures.push(`${name}: ${String(error).split('\n', 3).join(' ').slice(0, 300)}`)
      return undefined
    }
  }

  #verdict(name: string, reference: string): [string, string] {
    const ratios = this.ratios(name, reference)
    const middle = median(ratios)
    const text = `${short(middle)}× (${short(quantile(ratios, 0))}..${short(quantile(ratios, 1))})`
    if (Number.isNaN(middle)) return ['', 'failed']
    if (middle < TIE && middle > 1 / TIE) return [text, 'tie']
    return [text, middle > 1 ? `${reference} is quicker` : `${name} is quicker`]
  }
}
