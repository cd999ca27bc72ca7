/** Trials at the embedded store: what holds, what does not where a mistake was planted, and what proves nothing. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { TestContext } from 'vitest'
import type { Event } from '../../src/verify/history.ts'
import type { Trial } from '../../src/verify/report/report.ts'
import { verdictOf } from '../../src/verify/report/report.ts'
import { arenaAt } from '../../src/verify/torture/arena.ts'
import { conclusionOf } from '../../src/verify/torture/telling.ts'
import type { Arena } from '../../src/verify/torture/trial.ts'
import { trial } from '../../src/verify/torture/trial.ts'
import type { VerifyOptions } from '../../src/verify/torture/verify.ts'
import { verify } from '../../src/verify/torture/verify.ts'

const WORKER = 'verify/torture/worker.js'

/** Of tests that run side by side: each ends what it began. */
type Finished = TestContext['onTestFinished']

function scratch(onTestFinished: Finished): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-torture-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const silent: VerifyOptions['tell'] = { begins: () => {}, struck: () => {}, ended: () => {} }

function optionsFor(worker: string, faults: readonly string[], strikes: number) {
  const program = [process.execPath, worker]
  return { seed: 1, minutes: 0, each: false, faults, strikes, program, now: () => new Date(), tell: silent } as const
}

/** The package as it is built, with a mistake in it, in a folder. Answers where its worker is. */
function mistaken(root: string, file: string, find: string, replace: string): string {
  cpSync('dist', join(root, 'dist'), { recursive: true })
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }')
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'))
  const path = join(root, 'dist', file)
  const text = readFileSync(path, 'utf8')
  expect(text.split(find), `${file} has it once: ${find}`).toHaveLength(2)
  writeFileSync(
    path,
    text.replace(find, () => replace),
  )
  return join(root, 'dist', WORKER)
}

function trialsOf(store: string, worker: string, faults: readonly string[], strikes = 1): Promise<Trial[]> {
  return verify([arenaAt(`file:${store}`)], optionsFor(worker, faults, strikes))
}

describe.concurrent('at the embedded store', () => {
  test('a holder is frozen, a holder and a waiter are killed, and nothing that is promised is broken', async ({
    onTestFinished,
  }) => {
    const store = join(scratch(onTestFinished), 'store')
    const trials = await trialsOf(
      store,
      resolve('dist', WORKER),
      ['holder-frozen', 'holder-killed', 'waiter-killed'],
      2,
    )
    for (const { violations } of trials) expect(violations).toEqual([])
    expect(trials.map(({ fault, verdict, why }) => [fault, verdict, why])).toEqual([
      ['holder-killed', 'held', 'nothing that is promised was broken'],
      ['waiter-killed', 'held', 'nothing that is promised was broken'],
      ['holder-frozen', 'held', 'nothing that is promised was broken'],
    ])
    for (const { figures } of trials) expect(figures).toMatchObject({ strikes: expect.any(Number), overlaps: 0 })
    // Its late write was refused; where nobody looks at fences, it undid what the next one wrote.
    expect(trials[2]!.figures.refused).toBeGreaterThan(0)
    expect(trials[2]!.figures.lostUpdates).toBeGreaterThan(0)
    expect(conclusionOf(trials)).toMatch(/^held: .*3 trials, \d+ strikes, [\d,]+ operations/)
  })

  test.for([
    [
      'a fence that is a plain counter, and begins anew when a queue has been empty',
      'queue/table.js',
      'this.#lastFence = Math.max(this.#lastFence + 1, Math.floor(now.wallMs * 1000))',
      'this.#lastFence = (queue.seats.at(-1)?.fence ?? 0) + 1',
      'fence-order',
    ],
    [
      'an exclusive holder that leaves room for another',
      'queue/table.js',
      'queue.heldWeight + next.weight > queue.capacity',
      'next.weight > queue.capacity',
      'exclusion',
    ],
  ] as const)('a planted mistake is caught: %s', async ([, file, find, replace, checker], { onTestFinished }) => {
    const root = scratch(onTestFinished)
    const [caught] = await trialsOf(join(root, 'store'), mistaken(root, file, find, replace), ['holder-frozen'])
    expect(caught!.verdict).toBe('violated')
    expect(new Set(caught!.violations.map((each) => each.checker))).toContain(checker)
  })
})

describe.concurrent('what proves nothing', () => {
  const arena: Arena = {
    name: 'nowhere',
    ttlMs: 1000,
    workloads: ['exclusive'],
    has: new Set(),
    faults: [],
    open: () => Promise.reject(new Error('a server did not start')),
  }
  const idle = { name: 'idle', about: 'nothing happens', strike: async () => {}, felt: () => false }
  const options = { ...optionsFor(resolve('dist', WORKER), [], 1), seconds: 0 }

  test('a coordinator that is not there', async () => {
    const ended = await trial(arena, idle, options)
    expect(ended).toMatchObject({ verdict: 'proved nothing', why: 'a server did not start' })
    expect(verdictOf([ended])).toBe('proved nothing')
  })

  test('a fault that could not be made up for: nobody is accused of what they asked in vain', async ({
    onTestFinished,
  }) => {
    const url = `file:${join(scratch(onTestFinished), 'store')}`
    const place = { url, lay: async () => ({ url }), recovers: async () => {}, end: async () => {} }
    const kept: (readonly Event[])[] = []
    const keep = (_: Trial, events: readonly Event[]): void => void kept.push(events)
    const strike = (): Promise<void> => Promise.reject(new Error('the server did not come back'))
    const ended = await trial({ ...arena, open: async () => place }, { ...idle, strike }, { ...options, keep })
    expect(ended).toMatchObject({ verdict: 'proved nothing', why: 'the server did not come back', violations: [] })
    const [healed] = kept[0]!.filter(({ kind }) => kind === 'healed')
    expect(kept[0]!.filter(({ kind, at }) => kind === 'ask' && at < healed!.at).length).toBeGreaterThan(0)
  })

  test('a fault that nobody felt, whose history is kept', async ({ onTestFinished }) => {
    const url = `file:${join(scratch(onTestFinished), 'store')}`
    const place = { url, lay: async () => ({ url }), recovers: async () => {}, end: async () => {} }
    const kept: (readonly Event[])[] = []
    const keep = (_: Trial, events: readonly Event[]): void => void kept.push(events)
    const ended = await trial({ ...arena, open: async () => place }, idle, { ...options, keep })
    expect(ended).toMatchObject({ verdict: 'proved nothing', why: 'nobody felt the fault' })
    expect(kept).toHaveLength(1)
    expect(kept[0]!.filter(({ kind }) => kind === 'granted').length).toBe(ended.figures.grants)
  })
})
