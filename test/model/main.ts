/**
 * Search the models, and compare with what is known of each variant.
 *
 *   npm run model                       every variant of every model (see models.ts); progress on stderr
 *   npm run model -- NAME...            these models or variants; of variants, each violation with its shortest trace
 *   npm run model -- --quick            without those that take long
 *
 * Exit code 0: each search was complete and found what its variant says. 1: otherwise.
 */
import { models } from './models.ts'
import type { Found } from './search.ts'
import { search } from './search.ts'
import type { Variant } from './variant.ts'
import { wordsOf } from '../kit/words.ts'

const { values, positionals } = wordsOf(import.meta.url, {
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    'states-max': { type: 'string', default: '60000000' },
  },
})

function main(): boolean {
  const names = new Set(models.flatMap(({ name, variants }) => [name, ...variants.map((variant) => variant.name)]))
  const unknown = positionals.find((name) => !names.has(name))
  if (unknown !== undefined)
    throw new Error(`there is no model and no variant ${unknown}; there are ${[...names].join(', ')}`)
  const surprises: string[] = []
  for (const { name, variants } of models) {
    const whole = positionals.length === 0 || positionals.includes(name)
    const wanted = variants.filter((variant) =>
      whole ? !(values.quick && variant.long) : positionals.includes(variant.name),
    )
    if (wanted.length === 0) continue
    console.log(`\n${name}\n`)
    console.log('| variant | shows that | of | found | states | depth | seconds |')
    console.log('|---|---|---|---|---:|---:|---:|')
    for (const variant of wanted) if (!asExpected(variant, searched(variant))) surprises.push(variant.name)
  }
  for (const name of surprises) console.log(`${name}: NOT what it says`)
  return surprises.length === 0
}

function searched(variant: Variant): Found {
  const startedAt = performance.now()
  const secondsSince = (): string => ((performance.now() - startedAt) / 1000).toFixed(1)
  const found = search(variant.model(), {
    statesMax: Number(values['states-max']),
    progress: (depth, states) => {
      if (variant.long) console.error(`${variant.name}: depth ${depth}, ${states} states, ${secondsSince()} s`)
    },
  })
  console.log(
    `| ${variant.name} | ${variant.shows} | ${variant.size} | ${verdict(found)} | ` +
      `${found.states.toLocaleString('en')} | ${found.depth} | ${secondsSince()} |`,
  )
  if (found.violation && positionals.includes(variant.name)) console.log(`\n${found.violation.trace.join('\n')}\n`)
  return found
}

function verdict({ complete, violation }: Found): string {
  if (violation) return `**${violation.broken}**`
  return complete ? 'nothing' : 'nothing, NOT COMPLETE'
}

function asExpected({ finds }: Variant, { complete, states, depth, violation }: Found): boolean {
  if ('states' in finds) return complete && violation === undefined && states === finds.states
  return violation?.broken === finds.broken && depth === finds.steps
}

process.exitCode = main() ? 0 : 1
