/** The page in a real browser: what a person sees of it at any width and zoom, with hands, with keys, and without a script. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'vitest'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { pageOf } from '../../../dist/verify/report/page.js'
import type { Page, Sight, Spot } from './browser.ts'
import { Browser, MISSING, hasBrowser } from './browser.ts'
import { hostile, reportOf, trialOf, turns } from './samples.ts'

const WIDTHS = [380, 1000, 1900]

const folder = mkdtempSync(join(tmpdir(), 'holdfast-page-'))
const browser = hasBrowser() ? new Browser() : undefined
afterAll(async () => {
  await browser?.end()
  rmSync(folder, { recursive: true, force: true })
})

const held = trialOf(turns({ rounds: 60 }))
const violated = trialOf(turns({ rounds: 60, honest: false }), { coordinator: 'etcd' })
const broken = {
  ...violated,
  coordinator: 'redlock',
  verdict: 'held',
  violations: [],
  breaks: 'a node forgets',
} as const
const long = trialOf(turns({ rounds: 10 }), {
  coordinator: 'a-coordinator-with-a-name-that-does-not-end-where-one-expects-it-to',
  fault: `the-${'very-'.repeat(30)}long-fault`,
})
const file = write('page.html', pageOf(reportOf([held, violated, broken, long])))

/** Show the page, or a file. Until the test is over nobody may complain. */
async function see({ skip }: TestContext, sight: Sight, path = file): Promise<Page> {
  if (!browser) return skip(MISSING)
  const page = await browser.open(path, sight)
  onTestFinished(() => {
    if (page.problems.length > 0) throw new Error(page.problems.join('\n'))
  })
  return page
}

for (const width of WIDTHS) {
  test(`with everything open nothing reaches beyond the sides, ${width} pixels wide`, async (context) => {
    const page = await see(context, { width })
    await openAll(page)
    await page.until(`document.querySelectorAll('.trial .plot').length === 4`)
    expect(await beyond(page)).toEqual([])
  })

  test(`without a script the verdict, the drawings and the words are there, ${width} pixels wide`, async (context) => {
    const page = await see(context, { width, scripts: false })
    await openAll(page)
    expect(await beyond(page)).toEqual([])
    expect(await page.ask(`document.querySelector('h1').innerText.trim()`)).toBe('The lock broke a promise.')
    // That of the two that matter; the others say that they need one.
    expect(await page.ask(`document.querySelectorAll('.trial .plot').length`)).toBe(2)
    expect(await page.ask(`document.querySelector('#trial-1 .stage').innerText`)).toContain('drawn by a script')
    expect(await page.ask(`document.querySelectorAll('.words table').length`)).toBe(4)
    expect(await page.ask(`document.querySelector('.tools').checkVisibility()`)).toBe(false)
    expect(await fromMiddle(page)).toBeLessThan(2)
    expect(await page.ask(covered)).toEqual([])
  })

  test(`the violation is in the middle of its timeline, and no text covers another, ${width} pixels wide`, async (context) => {
    const page = await see(context, { width })
    await drawn(page)
    expect(await fromMiddle(page)).toBeLessThan(2)
    expect(await page.ask(covered)).toEqual([])
  })

  test(`zoom keeps texts and marks as large as they are, and the middle where it is, ${width} pixels wide`, async (context) => {
    const page = await see(context, { width })
    await drawn(page)
    const before = { heights: await heightsOf(page), bar: await barWidth(page) }
    for (let times = 0; times < 4; times += 1) await press(page, 'in')
    await page.until(`${barWidthOf} > ${3 * before.bar}`)
    const after = await heightsOf(page)
    const both = [...after.keys()].filter((node) => after[node]! > 0 && before.heights[node]! > 0)
    expect(both.length).toBeGreaterThan(5)
    expect(both.filter((node) => after[node] !== before.heights[node])).toEqual([])
    expect(await fromMiddle(page)).toBeLessThan(2)
    expect(await page.ask(covered)).toEqual([])
    for (let times = 0; times < 8; times += 1) await press(page, 'out')
    await page.until(`${barWidthOf} < ${before.bar}`)
    expect(await fromMiddle(page)).toBeLessThan(2)
    expect(await page.ask(covered)).toEqual([])
  })
}

const sight = { width: 1000 }

test('a timeline can be used with keys alone, and shows where they go', async (context) => {
  const page = await see(context, sight)
  await drawn(page)
  const focus = `document.activeElement.closest('#trial-2') ? document.activeElement.className || document.activeElement.dataset.do : ''`
  const reached: string[] = []
  for (let times = 0; times < 60 && !reached.includes('stage grip'); times += 1) {
    await page.key('Tab')
    reached.push(await page.ask<string>(focus))
  }
  expect(reached.filter(Boolean)).toEqual([
    'out',
    'in',
    'left',
    'right',
    'middle',
    'all',
    'previous',
    'next',
    'stage grip',
  ])
  expect(await page.ask(`getComputedStyle(document.activeElement).outlineStyle`)).toBe('solid')
  const [middle, width] = [await middleLine(page), await barWidth(page)]
  await page.key('+')
  await page.until(`${barWidthOf} > ${1.4 * width}`)
  await page.key('-')
  await page.until(`Math.abs(${barWidthOf} - ${width}) < 1`)
  await page.key('ArrowRight')
  await page.until(`${middleLineOf} < ${middle - 50}`)
  await page.key('ArrowLeft')
  await page.key('ArrowLeft')
  await page.until(`${middleLineOf} > ${middle + 50}`)
  await page.key('Home')
  await page.until(`Math.abs(${middleLineOf} - ${middle}) < 1`)
  await page.key('n')
  await page.until(`${captionOf}.startsWith('Events of ')`)
  const first = await page.ask<string>(captionOf)
  await page.key('n')
  await page.until(`${captionOf} !== ${JSON.stringify(first)}`)
  await page.key('p')
  await page.until(`${captionOf} === ${JSON.stringify(first)}`)
  await page.key('Escape')
  await page.until(`${captionOf} === 'Around the middle'`)
})

test('a click on a hold tells its events, in words and as they were recorded', async (context) => {
  const page = await see(context, sight)
  await drawn(page)
  const late = violated.excerpt!.events.find((event) => event.kind === 'access' && !event.accepted)
  const hold = (late as { hold: string }).hold
  await page.drag(await spotOf(page, `#trial-2 .hold[data-hold="${hold}"] .exclusive`))
  await page.until(`${captionOf} === 'Events of ${hold}'`)
  const rows = await page.ask<string[]>(
    `[...document.querySelectorAll('#trial-2 .words tbody tr')].map((row) => row.innerText)`,
  )
  expect(rows.map((row) => row.split('\t').at(-1))).toEqual([
    'asks for "turns", and waits',
    'holds "turns" with fence 30, until +3,900 ms',
    'reads "guarded" with fence 30',
    'is refused a write of "guarded" with fence 30',
    'releases',
  ])
  expect(await page.ask(`document.querySelector('#trial-2 .words pre').innerText`)).toContain(JSON.stringify(late))
  await page.drag(await spotOf(page, '#trial-2 .words button'))
  await page.until(`${captionOf} === 'Around the middle'`)
})

test('dragging moves it with the hand, and the wheel with Ctrl zooms where the hand is', async (context) => {
  const page = await see(context, sight)
  await drawn(page)
  const middle = await middleLine(page)
  const spot = await spotOf(page, '#trial-2 .plot')
  await page.drag(spot, { x: spot.x + 120, y: spot.y })
  await page.until(`Math.abs(${middleLineOf} - ${middle + 120}) < 2`)
  // It chose no hold.
  expect(await page.ask(captionOf)).toBe('Around the middle')
  const width = await barWidth(page)
  await page.wheel({ x: middle + 120, y: spot.y }, -200, 2)
  await page.until(`${barWidthOf} > ${1.3 * width}`)
  expect(Math.abs((await middleLine(page)) - middle - 120)).toBeLessThan(2)
  // Without Ctrl it is the page that moves.
  await page.wheel(spot, 200)
  await page.until(`Math.abs(${middleLineOf} - ${middle + 120}) < 2`)
})

test('a link of the matrix opens its trial, which is drawn then', async (context) => {
  const page = await see(context, sight)
  expect(await page.ask(`document.querySelectorAll('#trial-1 .plot').length`)).toBe(0)
  await page.drag(await spotOf(page, '.matrix a[href="#trial-1"]'))
  await page.until(`document.querySelector('#trial-1').open && document.querySelector('#trial-1 .ticks rect') !== null`)
  expect(await page.ask(`document.querySelector('#trial-1').getBoundingClientRect().top < 500`)).toBe(true)
})

test('in the dark it is dark', async (context) => {
  const page = await see(context, { width: 1000, dark: true })
  expect(await page.ask(`getComputedStyle(document.body).backgroundColor`)).toBe('rgb(20, 23, 26)')
})

test('what a history says is shown and not run; and what got in all the same would not be run either', async (context) => {
  const attack = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
  const trials = [
    { ...violated, excerpt: hostile(attack) },
    { ...held, why: attack, excerpt: hostile(attack) },
  ]
  const text = pageOf(reportOf(trials))
  const shown = await see(context, sight, write('hostile.html', text))
  await openAll(shown)
  await shown.until(`document.querySelectorAll('.plot .ticks').length === 2`)
  expect(await shown.ask(`document.querySelector('#trial-2 .body p').innerText`)).toBe(attack)
  expect(await shown.ask('document.title')).toContain('The lock broke')
  expect(shown.problems).toEqual([])
  const unescaped = await see(context, sight, write('unescaped.html', text.replace('<main>', `<main>${attack}`)))
  await unescaped.until(`document.querySelector('main img') !== null`)
  expect(await unescaped.ask('document.title')).toContain('The lock broke')
  // These complaints are wanted.
  expect(unescaped.problems.splice(0).join('\n')).toContain('Content Security Policy')
})

test('thousands of events are moved quickly', async (context) => {
  const many = trialOf(turns({ rounds: 450, honest: false }))
  const page = await see(context, sight, write('many.html', pageOf(reportOf([many]))))
  await page.ask(`document.querySelector('.timeline').scrollIntoView()`)
  await page.until(`document.querySelector('.grip') !== null`)
  const ms = await page.ask<number>(`(async () => {
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve))
    const stage = document.querySelector('.stage')
    const begun = performance.now()
    for (let times = 0; times < 20; times += 1) {
      stage.dispatchEvent(new KeyboardEvent('keydown', { key: times % 2 ? '+' : '0' }))
      await frame()
      await frame()
    }
    return performance.now() - begun
  })()`)
  console.log(`${many.excerpt!.events.length} events: 20 zooms in ${Math.round(ms)} ms`)
  // Wide: the machine may be busy. A drawing whose cost grows with the square of its events takes minutes.
  expect(ms).toBeLessThan(20_000)
})

function write(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

/** The timeline of the violated trial is there, and can be zoomed. */
async function drawn(page: Page): Promise<void> {
  await page.ask(`document.querySelector('#trial-2 .timeline').scrollIntoView()`)
  await page.until(`document.querySelector('#trial-2 .grip') !== null`)
  // It is drawn anew when its width is known, a picture later.
  await page.ask(`new Promise((resolve) => {
    const frames = (left) => (left === 0 ? resolve() : requestAnimationFrame(() => frames(left - 1)))
    frames(4)
  })`)
}

async function openAll(page: Page): Promise<void> {
  await page.ask(`document.querySelectorAll('details').forEach((each) => {
    each.open = true
    each.scrollIntoView()
  })`)
  await page.ask(`document.querySelectorAll('.timeline').forEach((each) => each.scrollIntoView())`)
}

/** What is wider than the page, unless it scrolls in a frame of its own. */
async function beyond(page: Page): Promise<string[]> {
  expect(await page.ask('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
  return page.ask(`[...document.querySelectorAll('main *')]
    .filter((node) => !node.closest('.wide') && !node.closest('svg') && node.getBoundingClientRect().right > innerWidth + 1)
    .map((node) => node.outerHTML.slice(0, 80))`)
}

/** How high each text and mark of the drawing is, in pixels; 0: out of sight. */
async function heightsOf(page: Page): Promise<number[]> {
  return page.ask(`[...document.querySelectorAll('#trial-2 .plot :is(.hold, .texts) :is(text, use)')]
    .map((node) => (node.checkVisibility() ? Math.round(node.getBoundingClientRect().height) : 0))`)
}

/** Pixels between the begin of the overlap and the middle of the plot. */
async function fromMiddle(page: Page): Promise<number> {
  return page.ask(`(() => {
    const plot = document.querySelector('#trial-2 .plot').getBoundingClientRect()
    const overlap = document.querySelector('#trial-2 .plot .overlap[data-a="0"]').getBoundingClientRect()
    return Math.abs(overlap.left - plot.left - plot.width / 2)
  })()`)
}

/** Texts of faults and overlaps that lie upon each other, and texts that are cut. */
const covered = `(() => {
  const plot = document.querySelector('#trial-2 .plot').getBoundingClientRect()
  const groups = [...document.querySelectorAll('#trial-2 .texts')]
  return groups.flatMap((group) => {
    const texts = [...group.children].filter((node) => node.checkVisibility())
    const boxes = texts.map((node) => ({ text: node.textContent, box: node.getBoundingClientRect() }))
    return boxes.filter(({ box }, index) => box.left < plot.left - 1 || box.right > plot.right + 1 || boxes.some((other, at) =>
      at !== index && other.box.top === box.top && other.box.left < box.right && box.left < other.box.right,
    )).map(({ text }) => text)
  })
})()`

const barWidthOf = `document.querySelector('#trial-2 .hold[data-hold="p4/31"] .exclusive').getBoundingClientRect().width`
const middleLineOf = `document.querySelector('#trial-2 .middle').getBoundingClientRect().left`
const captionOf = `document.querySelector('#trial-2 caption').innerText`

async function barWidth(page: Page): Promise<number> {
  return page.ask(barWidthOf)
}

async function middleLine(page: Page): Promise<number> {
  return page.ask(middleLineOf)
}

async function press(page: Page, what: string): Promise<void> {
  await page.ask(`document.querySelector('#trial-2 [data-do="${what}"]').click()`)
}

/** The middle of an element, after scrolling there. */
async function spotOf(page: Page, selector: string): Promise<Spot> {
  return page.ask(`(() => {
    const node = document.querySelector(${JSON.stringify(selector)})
    node.scrollIntoView({ block: 'center' })
    const { left, top, width, height } = node.getBoundingClientRect()
    return { x: left + width / 2, y: top + height / 2 }
  })()`)
}
