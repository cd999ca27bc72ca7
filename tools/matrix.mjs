/**
 * Runs the tests with every Node of tools/nodes, then the faults of Redis once more through each client and topology, and those of
 * etcd on three members and with each kind of lease, and every planted mistake of the simulation, and prints a table. Expects a built dist/. HOLDFAST_MATRIX=1 tells the tests
 * that here they may take longer. Words on the command line choose rows: those whose name has one of them in it.
 *
 * A row that finished green is not asked again until a file of the project changes: what was green is kept in
 * .matrix.json, under a hash of everything git would commit now. Delete that file to start anew.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const nodes = join(root, 'tools/nodes')
const memory = join(root, '.matrix.json')
const names = Object.keys(JSON.parse(readFileSync(join(nodes, 'package.json'), 'utf8')).dependencies)
const binary = (name) => join(nodes, 'node_modules', name, 'bin/node')

/** What is done to processes and to the server; on wires only where there is one of ours. */
const wired = ['test/redis/faults']
const wireless = ['test/redis/faults/processes', 'test/redis/faults/servers']
const etcd = ['test/etcd/faults']
const faults = [
  { name: 'faults: ioredis 5', env: { HOLDFAST_REDIS_CLIENT: 'ioredis5' }, files: wired },
  { name: 'faults: ioredis 6 of the user', env: { HOLDFAST_REDIS_CLIENT: 'ioredis' }, files: wired },
  { name: 'faults: node-redis 6', env: { HOLDFAST_REDIS_CLIENT: 'redis' }, files: wired },
  { name: 'faults: node-redis 5', env: { HOLDFAST_REDIS_CLIENT: 'redis5' }, files: wired },
  { name: 'faults: sentinel', env: { HOLDFAST_REDIS_TOPOLOGY: 'sentinel' }, files: wireless },
  { name: 'faults: cluster', env: { HOLDFAST_REDIS_TOPOLOGY: 'cluster' }, files: wireless },
  { name: 'faults: ten times as long', env: { HOLDFAST_LONG: '1' }, files: [...wired, 'test/redis/forgotten'] },
  { name: 'faults: etcd, three members', env: { HOLDFAST_ETCD_MEMBERS: '3' }, files: etcd },
  { name: 'faults: etcd, lease=entry', env: { HOLDFAST_ETCD_LEASE: 'entry' }, files: etcd },
  { name: 'faults: etcd, lease=observed', env: { HOLDFAST_ETCD_LEASE: 'observed' }, files: etcd },
  { name: 'faults: etcd, ten times as long', env: { HOLDFAST_LONG: '1' }, files: etcd },
  { name: 'simulation: every planted mistake', env: { HOLDFAST_LONG: '1' }, files: ['test/simulation/mutants'] },
]

const rowsOfNodes = names.map((name) => ({ name, node: () => binary(name), env: {}, files: [] }))
const rowsOfFaults = faults.map((row) => ({ ...row, node: () => process.execPath }))
const chosen = process.argv.slice(2)
const wanted = [...rowsOfNodes, ...rowsOfFaults].filter(
  ({ name }) => chosen.length === 0 || chosen.some((word) => name.includes(word)),
)

if (wanted.length === 0) {
  const all = [...rowsOfNodes, ...rowsOfFaults].map(({ name }) => name).join(', ')
  console.error(`no row has ${chosen.join(' or ')} in its name; there are ${all}`)
  process.exit(64)
}

const isMissing = ({ name }) => names.includes(name) && !existsSync(binary(name))
if (wanted.some(isMissing)) execFileSync('npm', ['ci', '--prefix', nodes], { cwd: nodes, stdio: 'inherit' })

const tree = treeHash()
const rows = wanted.map(({ name, node, env, files }) => {
  const version = execFileSync(node(), ['-v'], { encoding: 'utf8' }).trim()
  const key = `${name} ${version}`
  if (green().includes(key)) return { name, version, result: 'passed before' }
  console.log(`\n== ${name}: ${version}`)
  const startedAt = performance.now()
  const passed = runTests(node(), env, files)
  if (passed) remember(key)
  return {
    name,
    version,
    result: passed ? 'passed' : 'failed',
    seconds: Math.round((performance.now() - startedAt) / 1000),
  }
})

console.log()
console.table(Object.fromEntries(rows.map(({ name, ...row }) => [name, row])))
process.exitCode = rows.some(({ result }) => result === 'failed') ? 1 : 0

function runTests(node, more, files) {
  const all = join(root, 'tools/test.mjs')
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const PATH = [dirname(node), process.env.PATH].join(delimiter)
  const env = { ...process.env, HOLDFAST_MATRIX: '1', ...more, PATH }
  const words = files.length === 0 ? [all] : [vitest, 'run', ...files]
  return spawnSync(node, words, { cwd: root, stdio: 'inherit', env }).status === 0
}

function green() {
  const kept = existsSync(memory) ? JSON.parse(readFileSync(memory, 'utf8')) : {}
  return kept.tree === tree ? kept.green : []
}

function remember(key) {
  // Whoever changed a file while the tests ran has tested neither the old tree nor the new one.
  if (treeHash() === tree) writeFileSync(memory, JSON.stringify({ tree, green: [...green(), key] }))
}

/** The tree git would commit if everything were added; written to a folder of its own, so git notices nothing. */
function treeHash() {
  const scratch = mkdtempSync(join(tmpdir(), 'holdfast-matrix-'))
  try {
    const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8', env }).trim()
    const env = { ...process.env }
    env.GIT_ALTERNATE_OBJECT_DIRECTORIES = join(root, git('rev-parse', '--git-path', 'objects'))
    env.GIT_OBJECT_DIRECTORY = scratch
    env.GIT_INDEX_FILE = join(scratch, 'index')
    git('add', '--all')
    return git('write-tree')
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
