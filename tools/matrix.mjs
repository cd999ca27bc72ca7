/**
 * Runs the tests with every Node of tools/nodes, and prints a table. Expects a built dist/. HOLDFAST_MATRIX=1 tells the tests
 * that here they may take longer.
 *
 * A Node that finished green is not asked again until a file of the project changes: what was green is kept in
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

if (!names.every((name) => existsSync(binary(name)))) {
  execFileSync('npm', ['ci', '--prefix', nodes], { cwd: nodes, stdio: 'inherit' })
}

const tree = treeHash()
const rows = names.map((name) => {
  const version = execFileSync(binary(name), ['-v'], { encoding: 'utf8' }).trim()
  if (green().includes(version)) return { name, version, result: 'passed before' }
  console.log(`\n== ${name}: ${version}`)
  const startedAt = performance.now()
  const passed = runTests(binary(name))
  if (passed) remember(version)
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

function runTests(node) {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const PATH = [dirname(node), process.env.PATH].join(delimiter)
  return (
    spawnSync(node, [vitest, 'run'], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, PATH, HOLDFAST_MATRIX: '1' },
    }).status === 0
  )
}

function green() {
  const kept = existsSync(memory) ? JSON.parse(readFileSync(memory, 'utf8')) : {}
  return kept.tree === tree ? kept.green : []
}

function remember(version) {
  // Whoever changed a file while the tests ran has tested neither the old tree nor the new one.
  if (treeHash() === tree) writeFileSync(memory, JSON.stringify({ tree, green: [...green(), version] }))
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
