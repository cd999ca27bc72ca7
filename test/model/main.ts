/**
 * Search the model of the quorum, and compare with what is known of each variant.
 *
 *   npm run model                       every variant (see variants.ts); progress on stderr
 *   npm run model -- NAME...            these, each violation with its shortest trace
 *   npm run model -- --quick            without those that take long
 *
 * Exit code 0: each search was complete and found what variants.ts says. 1: otherwise.
 */
import { parseArgs } from 'node:util'
import { quorum } from './quorum.ts'
import type { Found } from './search.ts'
import { search } from './search.ts'
import type { Variant } from './variants.ts'
import { variants } from './variants.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    'states-max': { type: 'string', default: '60000000' },
  },
})

function main(): boolean {
  const unknown = positionals.find((name) => !variants.some((variant) => variant.name === name))
  if (unknown !== undefined)
    throw new Error(`there is no variant ${unknown}; there are ${variants.map(({ name }) => name).join(', ')}`)
  const wanted = variants.filter(({ name, long = false }) =>
    positionals.length === 0 ? !(values.quick && long) : positionals.includes(name),
  )
  console.log('| variant | shows that | nodes | attempts | found | states | depth | seconds |')
  console.log('|---|---|---:|---:|---|---:|---:|---:|')
  const surprises = wanted.filter((variant) => !asExpected(variant, searched(variant)))
  for (const { name } of surprises) console.log(`${name}: NOT what variants.ts says`)
  return surprises.length === 0
}

function searched(variant: Variant): Found {
  const startedAt = performance.now()
  const secondsSince = (): string => ((performance.now() - startedAt) / 1000).toFixed(1)
  const found = search(quorum(variant.rules), {
    statesMax: Number(values['states-max']),
    progress: (depth, states) => {
      if (variant.long) console.error(`${variant.name}: depth ${depth}, ${states} states, ${secondsSince()} s`)
    },
  })
  const { nodes, attempts } = variant.rules
  console.log(
    `| ${variant.name} | ${variant.shows} | ${nodes} | ${attempts} | ${verdict(found)} ` +
      `| ${found.states.toLocaleString('en')} | ${found.depth} | ${secondsSince()} |`,
  )
  if (found.violation && positionals.length > 0) console.log(`\n${found.violation.trace.join('\n')}\n`)
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
