import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { brokenRules } from './kit/rooms.ts'

const broken = (path: string, text: string) => brokenRules([{ path, text }])

test('every import in src/ stays inside the rules of its room', () => {
  const paths = globSync(['src/**/*.ts', 'examples/**/*.ts']).map((path) => path.replaceAll('\\', '/'))
  expect(paths).toContain('src/backend.ts')
  expect(brokenRules(paths.map((path) => ({ path, text: readFileSync(path, 'utf8') })))).toEqual([])
})

test('a broken rule names the file, the import and the rule', () => {
  expect(broken('src/core/lease.ts', `import { door } from '../index.ts'`)).toEqual([
    'src/core/lease.ts imports ../index.ts: core imports only ground, contract, seam',
  ])
  expect(broken('src/backends/file/index.ts', `import { a } from '../memory/index.ts'`)).toEqual([
    'src/backends/file/index.ts imports ../memory/index.ts: a backend never imports another backend',
  ])
})

test.each([
  ['src/backend.ts', `import { a } from './core/lease.ts'`, 'contract imports only nothing'],
  ['src/backend.ts', `import { join } from 'node:path'`, 'contract imports nothing from Node'],
  ['src/queue/queue.ts', `import { a } from '../core/lease.ts'`, 'queue imports only ground, contract'],
  ['src/core/lease.ts', `import type { Q } from '../queue/queue.ts'`, 'core imports only'],
  ['src/core/lease.ts', `export * from '../primitives/mutex.ts'`, 'core imports only'],
  ['src/core/lease.ts', `export {\n  a,\n  type B,\n} from '../backends/memory/index.ts'`, 'core imports only'],
  ['src/primitives/mutex.ts', `type M = import('../backends/memory/index.ts').M`, 'primitives imports only'],
  ['src/backends/file/index.ts', `import { a } from '../../core/lease.ts'`, 'backends imports only'],
  ['src/backends/file/index.ts', `import '../../observe/events.ts'`, 'backends imports only'],
  ['src/index.ts', `const cli = await import('./cli/main.ts')`, 'door imports only'],
  ['src/index.ts', `import * as testing from './testing/index.ts'`, 'door imports only'],
  ['src/index.ts', `import { a } from './backends/file/store.ts'`, 'a backend is imported by its index.ts'],
  ['src/guards/redis.ts', `import { a } from '../backends/redis/lane.ts'`, 'a backend is imported by its index.ts'],
  ['src/guards/http.ts', `import { a } from '../index.ts'`, 'guards imports only core, backends'],
  ['src/index.ts', `import { a } from './backends/redis/client.ts'`, 'a backend is imported by its index.ts'],
  ['src/index.ts', `import { a } from '../test/kit/rooms.ts'`, 'that is no room of src/'],
  ['src/core/lease.ts', `import ioredis from 'ioredis'`, 'only node: and relative imports'],
  ['src/core/lease.ts', `const path = require('path')`, 'only node: and relative imports'],
  ['src/core/lease.ts', `await import(name)`, 'only cli/ may'],
  ['src/helpers.ts', ``, 'belongs to no room'],
  ['src/core/lease.ts', `setTimeout(done, 5)`, 'a timer comes in through src/runtime.ts'],
  ['src/core/lease.ts', `const later = globalThis.setInterval`, 'a timer'],
  ['src/core/lease.ts', `import { setTimeout as sleep } from 'node:timers/promises'`, 'a timer'],
  ['src/testing/clock.ts', `AbortSignal.timeout(5)`, 'a timer'],
  ['src/queue/queue.ts', `const now = Date.now()`, 'a clock'],
  ['src/core/lease.ts', `const at = new Date()`, 'a clock'],
  ['src/primitives/mutex.ts', `performance.now()`, 'a clock'],
  ['src/core/lease.ts', `Math.random()`, 'a random number'],
  ['src/backends/memory/index.ts', `import { randomBytes } from 'node:crypto'`, 'a random number'],
  ['examples/first.ts', `import { a } from '../src/core/lease.ts'`, 'from outside'],
])('%s: %s is refused', (path, text, rule) => {
  expect(broken(path, text).join('\n')).toContain(rule)
})

test.each([
  ['src/core/lease.ts', `import type { Entry } from '../backend.ts'\nimport { fail } from './errors.ts'`],
  [
    'src/backends/file/store.ts',
    `import { queue } from '../../queue/queue.ts'\nimport { open } from 'node:fs/promises'`,
  ],
  ['src/guards/redis.ts', `import { a } from '../backends/redis/client.ts'`],
  ['src/backends/file/clock.ts', `process.hrtime.bigint()`],
  ['src/runtime.ts', `setTimeout(fire, Date.now() + Math.random())`],
  ['src/cli/main.ts', `setTimeout(done, 5)\nawait import(name)`],
  ['src/core/lease.ts', `// Date.now() would jump\n/** import('ioredis') */\nconst url = 'http://x'`],
  ['src/connect.ts', `import { parse } from './backends/redis/url.ts'`],
  ['src/core/lease.ts', `const at = new Date(wallMs)\nruntime.after(5, wake)`],
  ['examples/first.ts', `import { connect } from 'holdfast'\nimport { memory } from 'holdfast/memory'`],
])('%s: %s is allowed', (path, text) => {
  expect(broken(path, text)).toEqual([])
})
