import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

/** A user's folder, with the packed package where `npm install` would put it. */
let home: string
let files: string[]

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'holdfast-package-'))
  const installed = join(home, 'node_modules/holdfast')
  mkdirSync(installed, { recursive: true })
  const packed = JSON.parse(run('npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', home)) as [
    { filename: string; files: { path: string }[] },
  ]
  files = packed[0].files.map(({ path }) => path)
  run('tar', '-xzf', join(home, packed[0].filename), '-C', installed, '--strip-components=1')
})

afterAll(() => rmSync(home, { recursive: true, force: true }))

const subpaths = Object.keys((JSON.parse(readFileSync('package.json', 'utf8')) as { exports: object }).exports)
  .map((path) => path.replace('.', 'holdfast'))
  .filter((name) => !name.endsWith('.json'))

test.each(subpaths)('import and require of %s give the same names', (name) => {
  const required = inHome(`console.log(Object.keys(require('${name}')).sort().join())`, 'commonjs')
  const imported = inHome(`console.log(Object.keys(await import('${name}')).sort().join())`, 'module')
  expect(imported).not.toBe('\n')
  expect(required).toBe(imported)
})

test('the package holds what users need, and nothing else', () => {
  const folders = new Set(files.map((file) => file.split('/', 1).join()))
  expect([...folders].sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'bin', 'dist', 'man', 'package.json'])
  expect(files.filter((file) => /\.tsbuildinfo$|\.d\.ts\.map$|(?<!\.d)\.ts$/.test(file))).toEqual([])
})

test('the package brings no other package with it', () => {
  const { dependencies, optionalDependencies } = JSON.parse(
    readFileSync(join(home, 'node_modules/holdfast/package.json'), 'utf8'),
  ) as Record<string, unknown>
  expect({ dependencies, optionalDependencies }).toEqual({})
})

test('without its driver, redis: says what to install', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(home, 'node_modules/holdfast/bin/holdfast.cjs'), 'ls', '--url', 'redis://me:secret@127.0.0.1:1'],
    { cwd: home, encoding: 'utf8' },
  )
  expect(stderr).toContain('npm install ioredis')
  expect(stderr).not.toContain('secret')
  expect(status).toBe(78)
})

function inHome(code: string, type: 'commonjs' | 'module'): string {
  return execFileSync(process.execPath, [`--input-type=${type}`, '-e', code], { cwd: home, encoding: 'utf8' })
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8' })
}
