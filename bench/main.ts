/**
 * `npm run bench -- [--only W1,cli,file/W3] [--reps 9] [--quick] [--dir DIR] [--json FILE]`: holdfast beside its peers.
 *
 * Progress goes to stderr, the tables to stdout as Markdown. docs/bench.md says how to read them.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { INSTALL, KILLED, NEXT, START, install, killed, next, start } from './lib/command.ts'
import { W4, W7, crowd, death } from './lib/crowd.ts'
import { ETCD } from './lib/etcd-sheets.ts'
import { ensurePeers, pinned } from './lib/peers.ts'
import { QUEUE } from './lib/queue.ts'
import { QUORUM } from './lib/quorum.ts'
import type { Setup } from './lib/setup.ts'
import type { Plan, Sheet } from './lib/sheet.ts'
import { SPEED, speed } from './lib/speed.ts'
import { wordsOf } from '../test/kit/words.ts'

const { values: options } = wordsOf(import.meta.url, {
  options: {
    only: { type: 'string', default: '' },
    reps: { type: 'string' },
    quick: { type: 'boolean', default: false },
    dir: { type: 'string', default: os.tmpdir() },
    json: { type: 'string' },
  },
})

const began = performance.now()
const progress = (text: string): void =>
  console.error(`${((performance.now() - began) / 1e3).toFixed(0).padStart(4)} s  ${text}`)

const all: readonly (readonly [Plan, (setup: Setup) => Promise<Sheet>])[] = [
  ...SPEED.map(([plan, measure]) => [plan, (setup: Setup) => speed(setup, plan, measure)] as const),
  [W4, crowd],
  [W7, death],
  ...QUEUE,
  ...QUORUM,
  ...ETCD,
  [START, start],
  [NEXT, next],
  [KILLED, killed],
  [INSTALL, install],
]
const wanted = options.only.split(',').filter((word) => word !== '')
const chosen = all.filter(
  ([{ id, group }]) => wanted.length === 0 || [id, group, `${group}/${id}`].some((word) => wanted.includes(word)),
)
const unknown = wanted.filter((word) => !all.some(([{ id, group }]) => [id, group, `${group}/${id}`].includes(word)))
if (unknown.length > 0) {
  console.error(
    `--only: there is no ${unknown.join(', ')}; there are ${all.map(([{ id, group }]) => `${group}/${id}`).join(', ')}`,
  )
  process.exit(64)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const directory = mkdtempSync(join(options.dir, 'holdfast-bench-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
// Servers keep theirs there, too.
process.env['TMPDIR'] = directory

const setup: Setup = {
  quick: options.quick,
  repetitions: options.reps === undefined ? (options.quick ? 3 : 9) : Number(options.reps),
  directory,
  progress,
}
const machine = `Node ${process.versions.node}, ${os.type()} ${os.release().split('-', 1).join()}, ${os.cpus().length} cores`
ensurePeers(progress)
progress(machine)

const sheets: Sheet[] = []
for (const [, run] of chosen) sheets.push(await run(setup))

console.log(
  `${machine}; ${Object.entries(pinned())
    .map((pair) => pair.join(' '))
    .join(', ')}\n`,
)
for (const sheet of sheets) console.log(sheet.markdown())
if (options.json !== undefined) {
  const results = sheets.map(({ plan: { id, group, title }, samples, failures }) => {
    return { id, group, title, samples: Object.fromEntries(samples), failures }
  })
  writeFileSync(options.json, `${JSON.stringify({ machine, peers: pinned(), results }, undefined, 1)}\n`)
}
progress('done')
