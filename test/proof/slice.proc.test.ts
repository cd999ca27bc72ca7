/** A short slice of `npm run verify`, at servers of its own. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test, vi } from 'vitest'
import { MATRIX } from '../kit/effort.ts'

vi.setConfig({ testTimeout: 900_000 })

/** An older Node runs TypeScript only when told to. */
const types = process.features.typescript ? [] : ['--experimental-strip-types']

interface Ended {
  readonly code?: number
  readonly stdout: string
  readonly stderr: string
}

function verify(...words: string[]): Promise<Ended> {
  return verifyWith(process.env, ...words)
}

async function verifyWith(env: NodeJS.ProcessEnv, ...words: string[]): Promise<Ended> {
  const line = ['--no-warnings', ...types, 'verify/main.ts', ...words]
  const running = promisify(execFile)(process.execPath, line, { env })
  return running.catch((error: unknown) => error as Ended)
}

function directory(): string {
  const out = mkdtempSync(join(tmpdir(), 'holdfast-proof-'))
  onTestFinished(({ task }) => {
    if (task.result?.state === 'fail') console.error(`what it has written is in ${out}`)
    else rmSync(out, { recursive: true, force: true })
  })
  return out
}

const always = 'redis,redlock,etcd'
const all = 'file,redis,sentinel,cluster,redlock,etcd,etcd-observed'

test('faults at random, those that break what exclusion rests on apart: it held, and the report says so', async () => {
  const out = directory()
  const backends = MATRIX ? all : always
  const words = ['--backend', backends, '--minutes', MATRIX ? '4' : '0.5', '--strikes', '2', '--out', out]
  const { code = 0, stdout, stderr } = await verify(...words)
  expect(stdout + stderr).toMatch(/\nheld: nothing that is promised was broken/)
  expect(code).toBe(0)
  expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('The lock held.')
})

test('what was done before is not done again, and what does not exist is not asked for', async () => {
  const out = directory()
  const words = ['--long', '--backend', 'redis', '--fault', 'scripts-flushed', '--strikes', '1', '--out', out]
  const first = await verify(...words)
  expect(first.stdout).toMatch(/^held {12}redis, scripts-flushed: \d/)
  const path = join(out, 'redis.scripts-flushed.json')
  const kept = readFileSync(path, 'utf8')
  const second = await verify(...words)
  expect(second.stdout).toBe(first.stdout)
  expect(readFileSync(path, 'utf8')).toBe(kept)
  // One that was ended early is not done.
  const early = JSON.parse(kept) as { readonly figures: object }
  writeFileSync(path, JSON.stringify({ ...early, figures: { ...early.figures, strikes: 0 } }))
  const third = await verify(...words)
  expect(third.stdout).toMatch(/^held {12}redis, scripts-flushed: [1-9]/)
  expect(await verify('--backend', 'redis', '--fault', 'nope')).toMatchObject({ code: 64 })
  expect(await verify('--backend', 'nowhere')).toMatchObject({ code: 64, stderr: expect.stringContaining('etcd') })
})

test('a machine that cannot do something says so, and what that takes', async () => {
  const { stdout, stderr } = await verifyWith({ ...process.env, PATH: '' }, '--list', '--backend', 'file,redis')
  expect(stderr).toMatch(/^left out: clock-leaps, .*clock-slow, .*\(takes a C compiler\)$/m)
  expect(stderr).toMatch(/^left out: disk-full \(takes root, and the right to mount\)$/m)
  expect(stderr).toMatch(/^left out: other-clock \(takes root/m)
  expect(stdout).toMatch(/^ {2}cut-off /m)
  expect(stdout).not.toMatch(/clock-leaps|disk-full|other-clock/)
})
