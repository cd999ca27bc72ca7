/** The packages that holdfast is compared with: in a folder of their own, installed when a benchmark asks for them. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = new URL('../peers/', import.meta.url)

/** Make sure that exactly the pinned versions are there. */
export function ensurePeers(progress: (text: string) => void): void {
  if (Object.entries(pinned()).every(([name, version]) => installed(name) === version)) return
  progress('installing the peers into bench/peers')
  // Install scripts write to the home directory, of all places; nothing here needs them.
  const words = ['ci', '--ignore-scripts', '--no-audit', '--no-fund']
  execFileSync('npm', words, { cwd: fileURLToPath(folder), stdio: ['ignore', 'ignore', 'inherit'] })
}

/** name -> version */
export function pinned(): Record<string, string> {
  const { dependencies } = readJson(new URL('package.json', folder)) as { dependencies: Record<string, string> }
  // Two versions of one package: `npm:redlock@4.2.0`, under another name.
  const versions = Object.entries(dependencies).map(([name, version]) => [name, version.replace(/^npm:.*@/, '')])
  return Object.fromEntries(versions) as Record<string, string>
}

function installed(name: string): string | undefined {
  try {
    const { version } = readJson(new URL(`node_modules/${name}/package.json`, folder)) as { version: string }
    // One of them has a v in its own.
    return version.replace(/^v/, '')
  } catch {
    // Not there, or not whole: npm decides.
    return undefined
  }
}

function readJson(url: URL): unknown {
  return JSON.parse(readFileSync(url, 'utf8'))
}
