import { execFileSync } from 'node:child_process'
import type { Stats } from 'node:fs'
import { chmodSync, chownSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { file } from '../../src/backends/file/index.ts'
import { connect } from '../../src/index.ts'
import { crew, temporaryDirectory } from '../kit/workers.ts'

const ROOT = process.getuid?.() === 0

test('the directory of a user comes from the account, whatever the environment says', () => {
  const program = `import { file } from '${new URL('../../dist/backends/file/index.js', import.meta.url).href}'; console.log(file().directory)`
  const directoryIn = (env: NodeJS.ProcessEnv): string =>
    execFileSync(process.execPath, ['--input-type=module', '-e', program], { env, encoding: 'utf8', cwd: '/' }).trim()
  const expected = join(userInfo().homedir, '.local/state/holdfast')
  expect(directoryIn({})).toBe(expected)
  expect(directoryIn({ HOME: '/nowhere', XDG_STATE_HOME: '/else', XDG_RUNTIME_DIR: '/run/x', TMPDIR: '/t' })).toBe(
    expected,
  )
  expect(directoryIn({ ...process.env, HOME: '' })).toBe(expected)
})

test.each([0o000, 0o022, 0o077, 0o777])('with umask %o a store is its own user’s only', async (umask) => {
  const store = join(temporaryDirectory(), 'store')
  const workers = crew(`file:${store}`)
  const worker = await workers.start()
  await worker.do((_, umask) => void process.umask(umask), umask)
  await worker.do((stage) => stage.acquire('a').then(() => {}))
  const modes = everythingIn(store).map(
    ([path, stat]) => [path, (stat.mode & 0o7777).toString(8), stat.isDirectory()] as const,
  )
  expect(modes.length).toBeGreaterThanOrEqual(5)
  for (const [path, mode, directory] of modes) {
    const expected = directory ? '700' : '600'
    // A umask may take away from the owner, too; nobody else ever gets anything.
    if (umask === 0o777) expect(`${path} ${Number.parseInt(mode, 8) & 0o077}`).toBe(`${path} 0`)
    else expect(`${path} ${mode}`).toBe(`${path} ${expected}`)
  }
})

test.each([0o022, 0o077])(
  'with ?shared and umask %o the group of the directory may take part, and nobody else',
  async (umask) => {
    const store = join(temporaryDirectory(), 'store')
    const workers = crew(`file:${store}?shared`)
    const worker = await workers.start()
    await worker.do((_, umask) => void process.umask(umask), umask)
    await worker.do((stage) => stage.acquire('a').then(() => {}))
    for (const [path, stat] of everythingIn(store)) {
      const mode = (stat.mode & 0o7777).toString(8)
      // Of a fence file only the name counts: others remove it, and never write to it.
      const file = /fence\.\d+$/.test(path) ? expect.stringMatching(/ 6[046]0$/) : `${path} 660`
      expect(`${path} ${mode}`).toEqual(stat.isDirectory() ? `${path} 2770` : file)
    }
  },
)

test('two users of one group exclude each other in a shared store, and a dead one is succeeded at once', async ({
  skip,
}) => {
  skip(!ROOT, 'only root can become two other users')
  const root = temporaryDirectory()
  const group = 54_321
  chmodSync(root, 0o755)
  const store = join(root, 'store')
  mkdirSync(store)
  chownSync(store, 0, group)
  chmodSync(store, 0o2770)
  const workers = crew(`file:${store}?shared`, { ttl: '10m', waitTtl: '10m' })
  const [one, two, stranger] = await workers.startMany(3)
  const become = ([uid, gid]: [number, number]) => [uid, gid] as const
  for (const [worker, ids] of [
    [one!, become([50_001, group])],
    [two!, become([50_002, group])],
    [stranger!, become([50_003, 50_003])],
  ] as const) {
    await worker.do((_, [uid, gid]) => {
      process.umask(0o077)
      process.setgroups!([])
      process.setgid!(gid)
      process.setuid!(uid)
    }, ids)
  }
  await expect(stranger!.do((stage) => stage.tryAcquire('a'))).rejects.toMatchObject({ code: 'DENIED' })
  await one!.do((stage) => stage.acquire('a').then(() => {}))
  expect(await two!.do((stage) => stage.tryAcquire('a').then((hold) => hold === undefined))).toBe(true)
  const granted = two!.do((stage) => stage.acquire('a').then(() => true))
  await one!.kill()
  expect(await granted).toBe(true)
  // Many segments, by both users' hands.
  const three = (await workers.startMany(1))[0]!
  await two!.do((stage) => stage.release('a'))
  await Promise.all([two!, three].map((worker) => worker.do((stage) => stage.sections({ name: 'b', count: 700 }))))
})

test('a directory that others may write to is refused, and the error says what to do', async () => {
  const root = temporaryDirectory()
  for (const [mode, shared, advice] of [
    [0o770, false, /others.*chmod go-w.*\?shared/],
    [0o702, false, /others/],
    [0o777, true, /everybody.*chmod o-w/],
    [0o1777, false, /others/],
  ] as const) {
    const directory = join(root, `${mode.toString(8)}-${shared}`)
    mkdirSync(directory)
    chmodSync(directory, mode)
    await expect(file({ directory, shared }).diagnose()).rejects.toMatchObject({
      code: 'MISCONFIGURED',
      message: expect.stringMatching(advice),
    })
  }
})

test('a store with a room of sockets that others may write to is refused', async () => {
  const directory = temporaryDirectory()
  mkdirSync(join(directory, 's'))
  chmodSync(join(directory, 's'), 0o777)
  await expect(file({ directory }).diagnose()).rejects.toMatchObject({ code: 'MISCONFIGURED' })
})

test('a directory of another user is refused, and so is a link of another user', async ({ skip }) => {
  skip(!ROOT, 'only root can give a directory away')
  const root = temporaryDirectory()
  chmodSync(root, 0o755)
  const foreign = join(root, 'foreign')
  mkdirSync(foreign, 0o700)
  chownSync(foreign, 50_001, 50_001)
  await expect(file({ directory: foreign }).diagnose()).rejects.toMatchObject({
    code: 'DENIED',
    message: expect.stringContaining('another user (uid 50001)'),
  })
  const link = join(root, 'link')
  const own = join(root, 'own')
  mkdirSync(own, 0o700)
  symlinkSync(own, link)
  await file({ directory: link }).diagnose()
  execFileSync('chown', ['-h', '50001', link])
  await expect(file({ directory: link }).diagnose()).rejects.toMatchObject({ code: 'DENIED' })
})

test('a hostile name is a name, and never a file', async () => {
  const root = temporaryDirectory()
  const store = join(root, 'store')
  const locks = connect(`file:${store}`)
  const names = [
    '../../x',
    '/etc/passwd',
    '.',
    '..',
    'log.1',
    's/x',
    '$(touch x)',
    '%00',
    'a\\b',
    '__proto__',
    'ü'.repeat(256),
    '"],["seal"]',
  ]
  const leases = await Promise.all(names.map((name) => locks.acquire(name)))
  const other = connect(`file:${store}`)
  for (const name of names) expect(await other.tryAcquire(name)).toBeUndefined()
  const seen: string[] = []
  for await (const { name } of other.list()) seen.push(name)
  expect(seen.sort()).toEqual([...names].sort())
  for (const name of ['a\0b', 'a\nb', 'x'.repeat(513)])
    await expect(locks.acquire(name)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  for (const lease of leases) expect(await lease.release()).toBe('released')
  await locks.close()
  await other.close()
  expect(readdirSync(root)).toEqual(['store'])
  expect(readdirSync(store).filter((name) => !/^(s|log\.\d+|fence\.\d+)$/.test(name))).toEqual([])
  expect(readdirSync(join(store, 's'))).toEqual([])
})

test('a store holds no command line and no environment', async () => {
  const store = join(temporaryDirectory(), 'store')
  const workers = crew(`file:${store}`)
  const worker = await workers.start({
    env: { ...process.env, SECRET: 'correct-horse' },
    node: ['--title=battery-staple'],
  })
  await worker.do((stage) => stage.locks.acquire('a').then(() => {}))
  const text = everythingIn(store)
    .filter(([, stat]) => stat.isFile())
    .map(([path]) => readFileSync(path, 'utf8'))
    .join('')
  expect(text).toContain(`\\"pid\\":${worker.pid}`)
  expect(text).not.toMatch(/correct-horse|battery-staple|worker\.ts/)
  expect(text).not.toContain(process.execPath)
})

function everythingIn(directory: string): [path: string, stat: Stats][] {
  const paths = readdirSync(directory, { recursive: true }).map((name) => join(directory, String(name)))
  return [directory, ...paths].map((path) => [path, statSync(path)])
}
