import { createHash } from 'node:crypto'
import { Script } from 'node:vm'
import { inflateRawSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { figureOf } from '../../../src/verify/report/figure.ts'
import { markup } from '../../../src/verify/report/markup.ts'
import { brokenSentence, pageOf, sentenceOf } from '../../../src/verify/report/page.ts'
import type { Trial } from '../../../src/verify/report/report.ts'
import { SCRIPT } from '../../../src/verify/report/script.ts'
import { STYLE } from '../../../src/verify/report/style.ts'
import { hostile, reportOf, trialOf, turns } from './samples.ts'

const held = trialOf(turns({ rounds: 40 }))
const violated = trialOf(turns({ rounds: 40, honest: false }), { coordinator: 'etcd' })
const nothing: Trial = {
  ...held,
  fault: 'another',
  verdict: 'proved nothing',
  why: 'etcd did not start.',
  excerpt: undefined,
}
const broken: Trial = {
  ...held,
  coordinator: 'redlock',
  breaks: 'a node forgets',
  figures: { ...held.figures, overlaps: 3 },
}

/** What is unpacked in a browser, of each timeline. */
function packed(page: string): { drawing?: string; rows: string[][] }[] {
  return [...page.matchAll(/<template>([^<]*)<\/template>/g)].map(
    ([, text]) =>
      JSON.parse(inflateRawSync(Buffer.from(text!, 'base64')).toString()) as { drawing?: string; rows: string[][] },
  )
}

const heading = (page: string): string => /<h1>.*<\/svg>(.*)<\/h1>/.exec(page)![1]!

test('the verdict is the title, the heading, and a sentence', () => {
  for (const [trials, title, sentence] of [
    [
      [held],
      'The lock held.',
      'Nothing that is promised was broken in 1 trial: 40 grants at redis, while faults struck 1 time.',
    ],
    [[held, violated, nothing], 'The lock broke a promise.', '1 of 3 trials violated what is promised:'],
    [
      [held, nothing],
      'This proves nothing.',
      '1 of 2 trials could not have failed, since the fault was not felt or a server did not start; the others held.',
    ],
    [[], 'This proves nothing.', 'There was no trial.'],
  ] as const) {
    const page = pageOf(reportOf(trials))
    expect(heading(page)).toBe(title)
    expect(page).toContain(`<title>${title} holdfast verify`)
    expect(page).toContain(markup`<p>${sentence}</p>`.text)
    expect(sentenceOf(trials)).toBe(sentence)
  }
})

test('a lock that held does not hide what happened where an assumption was broken', () => {
  expect(sentenceOf([held, broken])).toContain(
    'faults struck 2 times. Where an assumption was broken on purpose, two believed at once 3 times.',
  )
})

test('what went wrong is linked under the verdict', () => {
  const banner = /<header[^]*<\/header>/.exec(pageOf(reportOf([held, violated])))![0]
  expect(banner).toContain('<a href="#trial-2">etcd × a holder stands still</a>: Two believed at once.')
  expect(banner).not.toContain('#trial-1')
})

test('a cell of the matrix says the worst verdict in words, and leads to a trial that has it', () => {
  const page = pageOf(reportOf([held, { ...violated, coordinator: 'redis' }, nothing, broken]))
  const cells = [
    ...page.matchAll(/<td><a class="([^"]+)" href="#([^"]+)"><svg.*?<\/svg>([^<]*)(?:<small>(.*?)<\/small>)?/g),
  ]
  expect(cells.map(([, ...parts]) => parts)).toEqual([
    ['violated', 'trial-2', 'violated', '2 trials, 4 overlaps'],
    ['held', 'trial-4', 'held', 'assumption broken, 3 overlaps'],
    ['nothing', 'trial-3', 'proved nothing', undefined],
  ])
  expect(page).toContain('not tried')
})

test('every link has its target, every header its scope, and no heading is left out', () => {
  const page = pageOf(reportOf([held, violated, nothing, broken]))
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id!)
  expect(new Set(ids).size).toBe(ids.length)
  for (const [, target] of page.matchAll(/ href="#([^"]+)"/g)) expect(ids).toContain(target)
  expect(page.match(/<th(?! scope=)(?=[ >])/g)).toBeNull()
  const levels = [...page.matchAll(/<h([1-6])[ >]/g)].map(([, level]) => Number(level))
  expect(levels[0]).toBe(1)
  expect(levels.filter((level, index) => level > (levels[index - 1] ?? 0) + 1)).toEqual([])
})

test('nothing may run but the one script, nothing is fetched, and the policy names both by their hashes', () => {
  const page = pageOf(reportOf([violated]))
  const hash = (text: string): string => `&#39;sha256-${createHash('sha256').update(text).digest('base64')}&#39;`
  const [, style] = /<style>([^]*)<\/style>/.exec(page)!
  const [, script] = /<script>([^]*)<\/script>/.exec(page)!
  expect([style, script]).toEqual([STYLE, SCRIPT])
  expect(page).toContain(
    `content="default-src &#39;none&#39;; img-src data:; style-src ${hash(STYLE)}; script-src ${hash(SCRIPT)};`,
  )
  expect(page.match(/<script/g)).toHaveLength(1)
  expect(page).not.toMatch(/ (?:src|style|on\w+)=/)
  expect(page.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|url\((?!#)|@import/)
  expect(() => new Script(SCRIPT)).not.toThrow()
})

test('what comes from a history or a report is text, wherever it stands', () => {
  const text = `"'><script>alert(1)</script>&amp;<img src=x onerror=alert(1)>`
  const trial: Trial = {
    ...violated,
    coordinator: text,
    fault: text,
    breaks: text,
    why: text,
    again: text,
    startedAt: text,
    violations: [{ checker: text, text }],
    excerpt: hostile(text),
  }
  const report = {
    ...reportOf([trial, { ...trial, verdict: 'held', breaks: undefined }]),
    command: text,
    startedAt: text,
  }
  const environment = { holdfast: text, node: text, system: text, cores: 1, servers: { [text]: text } }
  const page = pageOf({ ...report, environment })
  const drawings = packed(page).map(({ drawing = '' }) => drawing)
  expect(drawings.join('')).toContain('alert')
  const foreign = [page, ...drawings].join('').replaceAll(`<script>${SCRIPT}</script>`, '')
  expect(foreign).not.toMatch(/<script|<img/)
  expect(foreign).toContain('&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;')
})

test('what cannot be seen, or turns the text around it, is shown as what it is', () => {
  expect(markup`${'a\u202eb\0c\ud800d\n\u{1f512}'}`.text).toBe('a\\u202eb\\u0000c\\ud800d\n\u{1f512}')
})

test('trials that were violated are open and drawn, those whose assumption was broken are drawn, others are packed', () => {
  const page = pageOf(reportOf([held, violated, broken]))
  const trials = [...page.matchAll(/<details class="trial [^"]*" id="([^"]+)"( open)?>([^]*?)<\/details>/g)]
  expect(trials.map(([, id, open, body]) => [id, open !== undefined, body!.includes('class="plot"')])).toEqual([
    ['trial-2', true, true],
    ['trial-3', false, true],
    ['trial-1', false, false],
  ])
  expect(packed(page).map(({ drawing }) => drawing?.includes('class="plot"'))).toEqual([undefined, undefined, true])
  // Every trial tells in words what happened, script or not.
  expect(page.match(/<caption>Around the middle<\/caption>/g)).toHaveLength(3)
})

test('each event of a hold is there, in words and as it was recorded', () => {
  const [{ rows }] = packed(pageOf(reportOf([violated]))) as [{ rows: string[][] }]
  const event = violated.excerpt!.events.find(({ kind }) => kind === 'released')!
  const row = rows.find((each) => each[4] === JSON.stringify(event))
  expect(row?.slice(2, 4)).toEqual([event.process, 'releases'])
  expect(rows).toHaveLength(violated.excerpt!.events.filter((each) => 'hold' in each).length)
})

test('what was broken on purpose is told with its cost, and whether the guard stood', () => {
  expect(brokenSentence([broken])).toBe(
    '1 trial broke an assumption on purpose, to see what that costs: two believed at once 3 times, and registers without a guard lost 0 updates. The guarded registers refused 1 stale access, and lost no update.',
  )
  const bad = { ...broken, violations: [{ checker: 'guarded-register', text: 'the update of a was lost to b' }] }
  expect(brokenSentence([bad])).toContain('A guarded register was violated all the same')
  expect(pageOf(reportOf([held]))).toContain('No assumption was broken on purpose.')
  expect(pageOf(reportOf([held, broken]))).toContain('nowhere did two believe at once')
})

test('a trial tells its violations, its seed and how to carry it out again', () => {
  const page = pageOf(reportOf([{ ...violated, seed: 4711, again: 'holdfast verify --seed 4711' }]))
  expect(page).toContain('<dt>Seed</dt><dd>4711</dd>')
  expect(page).toContain('<code>holdfast verify --seed 4711</code>')
  expect(page).toContain('<strong>exclusion</strong>: &quot;turns&quot;:')
  const many = { ...violated, violations: Array.from({ length: 1000 }, () => violated.violations[0]!) }
  expect(pageOf(reportOf([many]))).toContain('<li>and 988 more</li>')
})

test('150 trials with 2,000 events each stay far below 40 MB', () => {
  const { excerpt } = trialOf(turns({ rounds: 450 }))
  expect(excerpt!.events.length).toBeGreaterThan(1900)
  const [alone, drawn] = [false, true].map((each) => figureOf(excerpt!, each).text.length)
  expect(alone! * 150 + drawn! * 24).toBeLessThan(25e6)
  const page = pageOf(reportOf(Array.from({ length: 40 }, () => ({ ...violated, excerpt: hostile('a') }))))
  expect(page.match(/class="plot"/g)).toHaveLength(24)
})

test('texts stand out from what they stand on, in the light and in the dark', () => {
  const schemes = STYLE.split(':root {')
    .slice(1, 4)
    .map((scheme) => {
      const colors = new Map(
        [...scheme.split('}')[0]!.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map(([, name, color]) => [name!, color!]),
      )
      return (name: string): string => colors.get(name)!
    })
  expect(schemes).toHaveLength(3)
  for (const color of schemes) {
    for (const [text, ground] of [
      ['text', 'ground'],
      ['text', 'card'],
      ['text', 'faint'],
      ['muted', 'ground'],
      ['muted', 'card'],
      ['held', 'held-ground'],
      ['violated', 'violated-ground'],
      ['nothing', 'nothing-ground'],
      ['held', 'card'],
      ['violated', 'card'],
      ['nothing', 'card'],
      ['fault', 'card'],
      ['on-bar', 'exclusive'],
      ['on-bar', 'shared'],
      ['on-bar', 'permits'],
      ['text', 'held-ground'],
      ['text', 'violated-ground'],
      ['text', 'nothing-ground'],
    ] as const)
      expect(contrast(color(text), color(ground)), `${text} on ${ground}`).toBeGreaterThan(4.5)
  }
})

/** As the Web Content Accessibility Guidelines count it. */
function contrast(...colors: [string, string]): number {
  const [dark, light] = colors.map(luminance).sort((a, b) => a - b)
  return (light! + 0.05) / (dark! + 0.05)
}

function luminance(color: string): number {
  const [red, green, blue] = [1, 3, 5].map((start) => {
    const share = Number.parseInt(color.slice(start, start + 2), 16) / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!
}
