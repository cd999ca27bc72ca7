/** Every snippet of the documents is type-checked and run, as a program of its own, against the built package. */
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { execFile, spawn } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { basename, delimiter, dirname, join, resolve } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { connect } from '../../src/index.ts'
import { Etcd } from '../kit/etcd.ts'
import { RedisServer } from '../kit/redis.ts'
import type { Block } from './pages.ts'
import { blocksOf, pages, textOf } from './pages.ts'

/** What a snippet uses without saying where it comes from, as its reader would have it. */
const hidden: Record<string, string> = {
  connect: `import { connect } from 'holdfast'`,
  locks: `const locks = connect()`,
  request: `const request = { signal: new AbortController().signal }`,
  signal: `const stop = new AbortController(); setTimeout(() => stop.abort(), 300); const { signal } = stop`,
  count: `const count = async (options: { signal: AbortSignal }): Promise<number> => Number(options.signal.aborted)`,
  render: `const render = async (id: number, _options: { signal: AbortSignal }): Promise<string> => 'pdf ' + id`,
  save: `const save = async (_what: unknown, _how: { fence?: bigint; fences?: bigint[]; signal?: AbortSignal }): Promise<void> => {}`,
  lead: `const lead = async (term: { signal: AbortSignal }): Promise<void> => { if (!term.signal.aborted) await new Promise((done) => setTimeout(done, 200)) }`,
  readToken: `const readToken = async (): Promise<{ fresh: boolean }> => ({ fresh: false })`,
  refresh: `const refresh = async (_options: { signal: AbortSignal }): Promise<{ fresh: boolean }> => ({ fresh: true })`,
}

const blocks = pages.flatMap(blocksOf)
const inLanguage = (language: string): Block[] => blocks.filter((block) => block.language === language)
const titled = (block: Block): [string, Block] => [`${block.page}:${block.line}`, block]
const examples = globSync('examples/*.ts').map((path) => basename(path))

/** A folder of a user who has installed the package, where snippets are compiled and run. */
let home: string
let complaints: string
let runs = 0
/** One Redis for the snippets that need one, and with it three for those of a quorum. */
let servers: RedisServer[]
let etcd: Etcd

beforeAll(async () => {
  servers = await Promise.all([RedisServer.start(), RedisServer.start(), RedisServer.start()])
  etcd = await Etcd.start()
  // They are new, and nobody has held anything there.
  const quorum = connect(`redlock://${servers.map(({ port }) => `127.0.0.1:${port}`).join()}?durable`)
  await quorum.diagnose()
  await quorum.close()
  home = mkdtempSync(join(tmpdir(), 'holdfast-docs-'))
  mkdirSync(join(home, 'node_modules/.bin'), { recursive: true })
  symlinkSync(resolve('.'), join(home, 'node_modules/holdfast'))
  symlinkSync(resolve('node_modules/ioredis'), join(home, 'node_modules/ioredis'))
  symlinkSync(resolve('bin/holdfast.cjs'), join(home, 'node_modules/.bin/holdfast'))
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name: 'reader', private: true, type: 'module' }))
  for (const block of inLanguage('ts')) writeFileSync(join(home, `${fileOf(block)}.ts`), programOf(block))
  for (const example of examples) writeFileSync(join(home, example), reachable(textOf(join('examples', example))))
  const compilerOptions = {
    target: 'es2023',
    module: 'nodenext',
    strict: true,
    skipLibCheck: true,
    types: ['node'],
    typeRoots: [resolve('node_modules/@types')],
    lib: ['es2023', 'esnext.disposable'],
  }
  writeFileSync(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  const compiler = await program([resolve('node_modules/typescript/bin/tsc'), '-p', home], home)
  complaints = compiler.stdout
})

afterAll(async () => {
  rmSync(home, { recursive: true, force: true })
  await Promise.all([...servers, etcd].map((server) => server.end()))
})

test('every ts snippet and example has right types', () => {
  expect(inLanguage('ts').length).toBeGreaterThan(10)
  expect(complaints).toBe('')
})

test.for(inLanguage('ts').map(titled))('%s runs', async ([, block]) => {
  expect(await program([join(home, `${fileOf(block)}.js`)], fresh())).toMatchObject({ code: 0, stderr: '' })
})

test.for(inLanguage('sql').map(titled))('%s runs', ([, block]) => {
  const database = new DatabaseSync(':memory:')
  onTestFinished(() => database.close())
  expect(() => database.exec(block.code)).not.toThrow()
})

test.for(inLanguage('redis').map(titled))('%s is enough for a lock and for an election', async ([, { page, code }]) => {
  const quorum = page.endsWith('redlock.md')
  const asked = quorum ? servers : servers.slice(0, 1)
  for (const { port } of asked) {
    const admin = new Redis(port)
    onTestFinished(() => admin.disconnect())
    await admin.call(...(code.split(' ') as [string, ...string[]]))
  }
  const hosts = asked.map(({ port }) => `127.0.0.1:${port}`).join()
  const locks = connect(`${quorum ? 'redlock' : 'redis'}://holdfast:secret@${hosts}`)
  onTestFinished(() => locks.close())
  const holder = await locks.acquire('x')
  const waiter = locks.acquire('x', { label: 'second' })
  await holder.renew()
  await holder.release()
  await (await waiter).release()
  for await (const term of locks.elect('y')) {
    await term.resign()
    break
  }
})

test.for(
  inLanguage('sh')
    .filter(({ code }) => !code.includes('sleep 20'))
    .map(titled),
)('%s runs', async ([, { code }]) => {
  const { stdout, code: exitCode } = await shell(code, fresh())
  expect(exitCode).toBe(0)
  for (const [, words] of code.matchAll(/echo "([\w ]+)"/g)) expect(stdout).toContain(words)
})

test('the two terminals of the README: the second says who holds, and goes on when the first is killed', async () => {
  const [first, second] = inLanguage('sh').filter(({ page, line }) => page === 'README.md' && line > 15)
  expect([first?.code, second?.code]).toEqual([
    'npx holdfast run demo -- sleep 20',
    'npx holdfast run demo -- echo "my turn"',
  ])
  const cwd = fresh()
  const locks = connect(storeOf(cwd))
  onTestFinished(() => locks.close())
  const holding = terminal(first!.code, cwd)
  await until(async () => (await locks.inspect('demo'))?.holders.length === 1)
  const waiting = terminal(second!.code, cwd)
  let said = ''
  waiting.stderr.on('data', (text: Buffer) => (said += String(text)))
  await until(() => /holdfast: .*\n/.test(said))
  const holder = (await locks.inspect('demo'))!.holders[0]!.who.pid!
  expect(said).toMatch(new RegExp(`^holdfast: waiting for demo: 1st of 1, .*pid ${holder}.*lease 0:`, 'm'))
  let printed = ''
  waiting.stdout.on('data', (text: Buffer) => (printed += String(text)))
  process.kill(holder, 'SIGKILL')
  await once(waiting, 'close')
  expect(printed).toBe('my turn\n')
  if (holding.exitCode === null && holding.signalCode === null) await once(holding, 'close')
})

test('cron: of three replicas one runs the job, and a later one skips it', async () => {
  const cwd = fresh()
  const outputs = await Promise.all([1, 2, 3].map(() => example('cron', cwd)))
  const later = await example('cron', cwd)
  expect(outputs.filter((output) => output.startsWith('this replica runs it')).length).toBe(1)
  expect(outputs.filter((output) => output.startsWith('another replica')).length).toBe(2)
  expect(later).toMatch(/^another replica/)
})

test('migrate: of three replicas one migrates, and the others find it done', async () => {
  const cwd = fresh()
  const outputs = await Promise.all([1, 2, 3].map(() => example('migrate', cwd)))
  expect(outputs.sort()).toEqual(['migrating\n', 'the schema is up to date\n', 'the schema is up to date\n'])
})

test('leader: on SIGTERM the leader resigns, and the next candidate leads', async () => {
  const cwd = fresh()
  const [first, second] = [candidate(cwd), candidate(cwd)]
  await Promise.race([first.says('leader of term'), second.says('leader of term')])
  const [leader, follower] = first.text().includes('leader') ? [first, second] : [second, first]
  expect(follower.text()).toBe('')
  leader.child.kill('SIGTERM')
  await leader.says('resigned')
  await follower.says('leader of term')
  follower.child.kill('SIGTERM')
  await follower.says('resigned')
})

test('refresh-token: of three processes one refreshes, and all have its token', async () => {
  const cwd = fresh()
  const outputs = await Promise.all([1, 2, 3].map(() => example('refresh-token', cwd)))
  expect(outputs[0]).toMatch(/^access-\d+\n$/)
  expect(new Set(outputs).size).toBe(1)
})

test('two-at-a-time: all are done, and no more than two at once', async () => {
  const output = await example('two-at-a-time', fresh())
  expect(output.match(/rendered/g)?.length).toBe(5)
  expect(output).toMatch(/at most 2 at once\n$/)
})

test('guarded-write: the late holder is refused', async () => {
  const output = await example('guarded-write', fresh())
  expect(output).toMatch(
    /^the first holder reads 100\nrefused: fence \d+ is older than the last one\nthe balance is 70\n$/,
  )
})

test.each([
  ['guarded-redis', 'the third holder has saved 20\n'],
  ['guarded-sql', ''],
  ['guarded-http', 'without a fence: 428\n'],
])('%s: who wakes up late can neither write nor read', async (name, end) => {
  expect(await example(name, fresh())).toBe(
    'the first holder reads 100\nthe second holder leaves 70\nthe late write is refused\nthe late read is refused\n' +
      end,
  )
})

function fileOf({ page, line }: Block): string {
  return `${page.replaceAll('/', '.')}.${line}`
}

/** The snippet on its own line numbers: what is hidden stands before its first line. */
function programOf({ code }: Block): string {
  const text = code.replace(/(^|\s)\/\/.*$/gm, '')
  const used = (name: string): boolean => new RegExp(`(?<![.\\w'/-])${name}(?![\\w'-])(?!:)`).test(text)
  const declared = (name: string): boolean => new RegExp(`(?:const|let|import) (?:\\{[^}]*)?\\b${name}\\b`).test(text)
  const needed = Object.keys(hidden).filter((name) => used(name) && !declared(name))
  // The hidden locks are connected.
  if (needed.includes('locks') && !declared('connect')) needed.unshift('connect')
  return `${[...new Set(needed)].map((name) => hidden[name]).join('; ')}; export {}; ${reachable(code)}\n`
}

/** With the servers of these tests for those of the reader's machine. */
function reachable(code: string): string {
  const [one, two, three] = servers.map(({ port }) => `new Redis(${port})`) as [string, string, string]
  return code
    .replace('new Redis()', one)
    .replace('http://127.0.0.1:2379', etcd.endpoints[0]!)
    .replace('new Redis(6379), new Redis(6380), new Redis(6381)', `${one}, ${two}, ${three}`)
}

/** A folder, and with it a store, that nobody has used. */
function fresh(): string {
  const folder = join(home, `run-${(runs += 1)}`)
  mkdirSync(folder)
  symlinkSync(join(home, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

function storeOf(cwd: string): string {
  return `file:${join(cwd, 'store')}`
}

function environment(cwd: string): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, HOLDFAST_NAME: _name, HOLDFAST_FENCE: _fence, ...rest } = process.env
  const PATH = [dirname(process.execPath), process.env['PATH']].join(delimiter)
  const etcdctl = { ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: etcd.endpoints.join() }
  return { ...rest, ...etcdctl, PATH, NODE_NO_WARNINGS: '1', HOLDFAST_URL: storeOf(cwd) }
}

interface Outcome {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

function program(words: readonly string[], cwd: string, file: string = process.execPath): Promise<Outcome> {
  return new Promise((done) => {
    execFile(file, words, { cwd, env: environment(cwd), timeout: 60_000 }, (error, stdout, stderr) => {
      done({ code: error ? (error.code ?? error.signal ?? 'unknown') : 0, stdout, stderr })
    })
  })
}

async function example(name: string, cwd: string): Promise<string> {
  const { code, stdout, stderr } = await program([join(home, `${name}.js`)], cwd)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout
}

/** What a clone is set up with has been done: these tests run in one. */
function withoutSetUp(code: string): string {
  return code.replace('npm ci && npm run build && ', '')
}

function shell(code: string, cwd: string): Promise<Outcome> {
  return program(['-ec', withoutSetUp(code)], cwd, '/bin/sh')
}

function terminal(code: string, cwd: string): ChildProcessWithoutNullStreams {
  const child = spawn('/bin/sh', ['-ec', code], { cwd, env: environment(cwd) })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

function candidate(cwd: string) {
  const child = spawn(process.execPath, [join(home, 'leader.js')], { cwd, env: environment(cwd) })
  onTestFinished(() => void child.kill('SIGKILL'))
  let text = ''
  child.stdout.on('data', (part: Buffer) => (text += String(part)))
  return { child, text: () => text, says: (words: string) => until(() => text.includes(words)) }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  await expect.poll(condition, { interval: 10, timeout: 30_000 }).toBe(true)
}
