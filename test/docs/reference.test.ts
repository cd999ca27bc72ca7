import { existsSync, globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { connect } from '../../src/index.ts'
import * as door from '../../src/index.ts'
import { anchorOf, blocksOf, headingsOf, linksOf, pages, proseOf, sectionOf, textOf } from './pages.ts'

const API = 'docs/api.md'

/** Those of `words` that `text` does not name in code. */
function unnamed(words: Iterable<string>, text: string): string[] {
  return [...new Set(words)].filter(
    (word) => !new RegExp(`\`[^\`\n]*(?<![\\w$])${word}(?![\\w$])[^\`\n]*\``).test(text),
  )
}

/** What an options object may have: the error for one that does not exist names all of them. */
async function optionsOf(use: (options: object) => unknown): Promise<string[]> {
  const error = await Promise.resolve()
    .then(() => use({ nonsense: 1 }))
    .then(
      () => undefined,
      (reason: unknown) => reason,
    )
  const list = /there is no option 'nonsense'; there are (.+)$/.exec((error as Error).message)?.[1]
  return list!.split(', ')
}

function codesIn(source: string): string[] {
  const text = readFileSync(source, 'utf8')
  return [...text.matchAll(/'([A-Z][A-Z_]{3,})'/g)].map(([, code]) => code!)
}

const errorCodes = [
  ...[...readFileSync('src/core/errors.ts', 'utf8').matchAll(/(?:super\(|code = )\s*'([A-Z_]+)'/g)].map(
    ([, code]) => code!,
  ),
  ...codesIn('src/backend.ts').filter((code) => code !== 'WHOLE'),
]

describe('the reference', () => {
  test('names everything that the package exports', () => {
    const types = [...readFileSync('src/index.ts', 'utf8').matchAll(/^export type \{([^}]+)\}/gm)].flatMap(
      ([, names]) => names!.split(',').map((name) => name.trim()),
    )
    const all = [...Object.keys(door), ...types.filter((name) => name !== '')]
    expect(all).toContain('connect')
    expect(all).toContain('Lease')
    expect(unnamed(all, textOf(API))).toEqual([])
  })

  test('the page of the guards names everything that they export', () => {
    const all = [...readFileSync('src/guards/index.ts', 'utf8').matchAll(/^export (?:type )?\{([^}]+)\}/gm)]
      .flatMap(([, names]) => names!.split(','))
      .map((name) => name.trim())
    expect(all).toContain('redisGuard')
    expect(unnamed(all, textOf('docs/guards.md'))).toEqual([])
  })

  test.each([
    ['connect(target?, options?)', (options: object) => connect('memory:', options)],
    ['Options', (options: object) => connect('memory:').acquire('a', options)],
    ['Semaphores', (options: object) => connect('memory:').semaphore('a', 1).acquire(options)],
    ['Elections', (options: object) => connect('memory:').election('a').acquire(options)],
    ['Once per period', (options: object) => connect('memory:').once('a', { every: 1, ...options }, () => {})],
  ])('names every option, those of "%s" in that section', async (section, use) => {
    const all = await optionsOf(use)
    const common = section === 'Options' ? [] : await optionsOf((options) => connect('memory:').acquire('a', options))
    const own = section.startsWith('connect') ? all : all.filter((option) => !common.includes(option))
    expect(own.length).toBeGreaterThan(0)
    expect(unnamed(own, sectionOf(API, section))).toEqual([])
  })

  test('names every error code, with a next step', () => {
    expect(errorCodes).toContain('LEASE_LOST')
    expect(errorCodes).toContain('STORE_FULL')
    expect(unnamed(errorCodes, sectionOf(API, 'Errors'))).toEqual([])
  })

  test('names every event', () => {
    expect(unnamed(door.EVENTS, sectionOf(API, 'Events'))).toEqual([])
  })
})

describe('the pages of the backends', () => {
  const backends = globSync('docs/backends/*.md')

  test('have the same headings', () => {
    const [first, ...others] = backends.map((page) => headingsOf(page).slice(1))
    expect(first!.length).toBeGreaterThan(5)
    for (const each of others) expect(each).toEqual(first)
  })

  test.each(backends)('%s names every error code of its backend', (page) => {
    const folder = page.replace('docs/', 'src/').replace('.md', '')
    // What a quorum says is said by the protocol that its nodes share.
    const folders = folder.endsWith('redlock') ? [folder, 'src/quorum'] : [folder]
    const known = new Set(errorCodes)
    const sources = folders.flatMap((each) => globSync(`${each}/*.ts`))
    const own = sources.flatMap((source) => codesIn(source).filter((code) => known.has(code)))
    expect(own).toContain('CLOSED')
    expect(unnamed(own, sectionOf(page, 'When something goes wrong'))).toEqual([])
  })
})

describe('the documents', () => {
  test.each(pages)('%s has no link that leads nowhere', (page) => {
    const broken = linksOf(page).filter(({ path, anchor }) => {
      if (!existsSync(path)) return true
      return anchor !== undefined && !headingsOf(path).map(anchorOf).includes(anchor)
    })
    expect(broken.map(({ target }) => target)).toEqual([])
  })

  test.each(pages)('%s names no file that is not there', (page) => {
    const named = [...proseOf(page).matchAll(/(?<![\w./-])((?:src|test|bench|docs|examples)\/[\w./-]*\w)/g)]
    expect(named.map(([, path]) => path!).filter((path) => !existsSync(path))).toEqual([])
  })

  test.each(pages)('%s names no npm script that is not there', (page) => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
    const named = [...textOf(page).matchAll(/npm run (?:-s )?([\w:]+)/g)].map(([, script]) => script!)
    expect(named.filter((script) => !(script in scripts))).toEqual([])
  })

  test('have only blocks that a test runs', () => {
    const languages = new Set(pages.flatMap(blocksOf).map(({ language }) => language))
    expect([...languages].sort()).toEqual(['redis', 'sh', 'sql', 'ts'])
  })

  test('are all in the index', () => {
    const listed = linksOf('docs/README.md').map(({ path }) => path)
    expect(pages.filter((page) => page !== 'docs/README.md' && !listed.includes(page))).toEqual([])
  })

  test('use every example', () => {
    const used = new Set(pages.flatMap((page) => linksOf(page).map(({ path }) => path)))
    expect(globSync('examples/*.ts').filter((path) => !used.has(path))).toEqual([])
  })

  test('begin with what fits on one screen', () => {
    const lines = textOf('README.md').split('\n')
    const below = lines.findIndex((line) => line === '## What there is')
    expect(below).toBeGreaterThan(20)
    expect(below).toBeLessThan(66)
  })
})
