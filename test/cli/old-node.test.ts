import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const stub = resolve('bin/holdfast.cjs')

test.each(['0.12.18', '14.21.3', '20.20.2', '22.12.0'])('Node %s gets one clear line and exit code 78', (version) => {
  const { status, stdout, stderr } = runAs(version)
  expect(stderr).toBe(line(version))
  expect(stdout).toBe('')
  expect(status).toBe(78)
})

test.each(['22.13.0', '22.23.3', '23.0.0', '24.21.0', '100.0.0'])('Node %s is let in', (version) => {
  expect(runAs(version).stderr).not.toContain('holdfast needs Node')
})

const oldNode = findOldNode()

test.runIf(oldNode !== undefined)('an old Node on PATH reads the stub and gets the line', () => {
  const { status, stderr } = spawnSync(oldNode!.path, [stub, 'version'], { encoding: 'utf8' })
  expect(stderr).toBe(line(oldNode!.version))
  expect(status).toBe(78)
})

function line(version: string): string {
  return `holdfast needs Node 22.13 or later; this is Node ${version}. Install a newer Node, or put it first on PATH.\n`
}

/** Runs the stub with this test's Node, which says that it is another one. */
function runAs(version: string) {
  const pretend = `Object.defineProperty(process.versions, 'node', { value: ${JSON.stringify(version)} })`
  return spawnSync(process.execPath, ['-e', `${pretend}; require(${JSON.stringify(stub)})`], { encoding: 'utf8' })
}

function findOldNode(): { path: string; version: string } | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'node')
    if (!existsSync(path)) continue
    const version = spawnSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout.trim()
    if (Number(version.split('.')[0]) < 22) return { path, version }
  }
  return undefined
}
