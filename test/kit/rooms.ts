/**
 * The rooms of `src/`: what each may import, and who may ask for time and chance. Reads text, not a syntax tree: the
 * sources are formatted, so an import statement starts its line.
 */
import { dirname, join, normalize } from 'node:path/posix'

export interface Source {
  /** From the root of the repository, with forward slashes. */
  readonly path: string
  readonly text: string
}

interface Room {
  readonly files: RegExp
  /** The rooms it may import from. Its own files are always allowed; for a backend, that is its own folder. */
  readonly imports: readonly RoomName[]
  /** Whether it may import what Node brings. */
  readonly node: boolean
}

type RoomName =
  | 'ground'
  | 'contract'
  | 'seam'
  | 'findings'
  | 'queue'
  | 'quorum'
  | 'core'
  | 'primitives'
  | 'backends'
  | 'guards'
  | 'observe'
  | 'door'
  | 'testing'
  | 'verify'
  | 'cli'

const inner = ['ground', 'contract', 'seam', 'findings', 'queue', 'quorum', 'core', 'primitives', 'backends'] as const

const rooms: Record<RoomName, Room> = {
  ground: { files: /^(fleeting|address)\.ts$/, imports: [], node: false },
  contract: { files: /^backend\.ts$/, imports: [], node: false },
  seam: { files: /^(runtime|elapsed)\.ts$/, imports: [], node: true },
  findings: { files: /^findings\.ts$/, imports: ['contract', 'seam'], node: false },
  queue: { files: /^queue\//, imports: ['ground', 'contract'], node: false },
  quorum: { files: /^quorum\//, imports: ['contract', 'seam'], node: false },
  core: { files: /^core\//, imports: ['ground', 'contract', 'seam'], node: true },
  primitives: { files: /^primitives\//, imports: ['ground', 'contract', 'seam', 'core'], node: true },
  backends: {
    files: /^backends\/[^/]+\//,
    imports: ['ground', 'contract', 'seam', 'findings', 'queue', 'quorum'],
    node: true,
  },
  guards: { files: /^guards\//, imports: ['core', 'backends'], node: true },
  observe: { files: /^observe\//, imports: [...inner, 'door'], node: true },
  door: { files: /^(index|connect|later|locks)\.ts$/, imports: [...inner, 'observe'], node: true },
  testing: { files: /^testing\//, imports: [...inner, 'door', 'observe'], node: true },
  verify: { files: /^verify\//, imports: [...inner, 'door', 'observe'], node: true },
  cli: { files: /^cli\//, imports: [...inner, 'door', 'observe', 'verify'], node: true },
}

/** A backend whose nodes are another one. */
const madeOf: Readonly<Record<string, string>> = { redlock: 'redis' }

/** Optional peers: each is imported by one file, when an address asks for it. */
const drivers: Readonly<Record<string, string>> = { 'src/backends/redis/driver.ts': 'ioredis' }

/** What else of a backend a room may import: a guard speaks to the clients that the backend speaks to. */
const backendDoors: Partial<Record<RoomName, RegExp>> = { guards: /\/client\.ts$/ }

/** Who may read a clock, set a timer or draw a random number. */
const timeAndChance = /^(runtime\.ts|backends\/[^/]+\/clock\.ts|cli\/.*|verify\/torture\/.*)$/

const seams: readonly [what: string, sign: RegExp][] = [
  ['a timer', /(?<![.\w$])(?:globalThis\.)?(?:setTimeout|setInterval|setImmediate)\b/],
  ['a timer', /\bAbortSignal\.timeout\b/],
  ['a timer', /['"]node:timers(?:\/promises)?['"]/],
  ['a clock', /\bDate\.now\b|\bnew Date\(\)|(?<![.\w$])Date\(\)/],
  ['a clock', /\bperformance\.now\b|\bprocess\.hrtime\b|['"](?:node:)?perf_hooks['"]/],
  ['a random number', /\bMath\.random\b/],
  ['a random number', /\b(?:randomBytes|randomFill|randomFillSync|randomInt|randomUUID|getRandomValues)\b/],
]

/** One line per broken rule: the file, the import, the rule. Takes the whole of `src/` and `examples/`. */
export function brokenRules(sources: readonly Source[]): string[] {
  return sources.flatMap(({ path, text }) => {
    const code = withoutComments(text)
    if (!path.startsWith('src/')) return outsideRules(path, code)
    return [...importRules(path, code), ...seamRules(path, code)]
  })
}

function importRules(path: string, code: string): string[] {
  const own = roomOf(path)
  if (own === undefined) return [`${path}: belongs to no room; test/kit/rooms.ts has the table`]
  const { imports, node } = rooms[own]
  const broken: string[] = []
  for (const specifier of importsOf(code)) {
    if (drivers[path] === specifier) continue
    const rule = (text: string) => broken.push(`${path} imports ${specifier}: ${text}`)
    if (!specifier.startsWith('.')) {
      if (!specifier.startsWith('node:')) rule('the package has no dependencies; only node: and relative imports')
      else if (!node) rule(`${own} imports nothing from Node`)
      continue
    }
    const target = normalize(join(dirname(path), specifier))
    const room = roomOf(target)
    if (room === undefined) rule('that is no room of src/')
    else if (room === own && backendOf(target) === backendOf(path)) continue
    else if (room === own && madeOf[backendOf(path) ?? ''] === backendOf(target) && isDoor(target)) continue
    else if (room === own) rule('a backend never imports another backend')
    else if (!imports.includes(room)) rule(`${own} imports only ${imports.join(', ') || 'nothing'}`)
    else if (room === 'backends' && !backendDoors[own]?.test(target) && !isDoor(target))
      rule('a backend is imported by its index.ts, and what its addresses look like by its url.ts')
  }
  if (own !== 'cli' && /\bimport\((?!\s*['"])/.test(code)) {
    broken.push(`${path} imports a computed name: only cli/ may, as nobody can read where it leads`)
  }
  return broken
}

function seamRules(path: string, code: string): string[] {
  if (timeAndChance.test(path.slice('src/'.length))) return []
  return seams.flatMap(([what, sign]) => {
    const found = sign.exec(code)?.[0]
    return found === undefined ? [] : [`${path} uses ${found}: ${what} comes in through src/runtime.ts`]
  })
}

/** What stands outside reads like a user's program: the package by its name, and nothing by its path. */
function outsideRules(path: string, code: string): string[] {
  return importsOf(code)
    .filter((specifier) => /(^|\/)(src|dist)\//.test(specifier))
    .map((specifier) => `${path} imports ${specifier}: from outside, import holdfast or one of its subpaths`)
}

function roomOf(path: string): RoomName | undefined {
  if (!path.startsWith('src/')) return undefined
  const names = Object.keys(rooms) as RoomName[]
  return names.find((name) => rooms[name].files.test(path.slice('src/'.length)))
}

const backendOf = (path: string) => /^src\/backends\/([^/]+)\//.exec(path)?.[1]

/** What it does, and what its addresses look like. */
const isDoor = (path: string) => /\/(index|url)\.ts$/.test(path)

const importForms = [
  /^\s*(?:import|export)\s+(?:type\s+)?(?:[\w$]+\s*,?\s*)?(?:\*(?:\s*as\s+[\w$]+)?|\{[^}]*\})?\s*from\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  /\b(?:import|require|getBuiltinModule)\(\s*['"]([^'"]+)['"]/g,
]

function importsOf(code: string): string[] {
  return importForms.flatMap((form) => [...code.matchAll(form)].flatMap((match) => match[1] ?? []))
}

/** Strings are matched too, and kept, so that a `//` inside one does not count as a comment. */
function withoutComments(text: string): string {
  const parts = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g
  return text.replace(parts, (part) => (part.startsWith('/') ? ' ' : part))
}
