/**
 * `npm run screens`: types commands into real terminals (tmux), and writes what they show as pictures for docs/cli.md.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const BIN = resolve('bin/holdfast.cjs')
const FOLDER = 'docs/images'
/** Of a character, and of the picture. */
const [WIDE, HIGH, MARGIN] = [8.4, 19, 14]
const [PAPER, INK, FAINT] = ['#16181d', '#d7dae0', '#8b93a1']

const home = mkdtempSync(join(tmpdir(), 'holdfast-screens-'))
const sockets: string[] = []

class Screen {
  readonly columns: number
  readonly #socket: string

  constructor(columns: number, rows: number) {
    this.columns = columns
    this.#socket = join(home, `tmux-${sockets.length}`)
    sockets.push(this.#socket)
    const shell = `PS1='$ ' ENV= HOLDFAST_URL=file:${home}/store sh -i`
    this.#tmux('-f', '/dev/null', 'new-session', '-d', '-x', String(columns), '-y', String(rows), shell)
    this.type(`cd ${home}; holdfast() { ${process.execPath} ${BIN} "$@"; }; clear`)
  }

  type(line: string): void {
    this.#tmux('send-keys', '-l', line)
    this.#tmux('send-keys', 'Enter')
  }

  get lines(): string[] {
    return this.#tmux('capture-pane', '-p').trimEnd().split('\n')
  }

  async shows(what: RegExp): Promise<void> {
    for (let tries = 0; !what.test(this.lines.join('\n')); tries += 1) {
      if (tries > 200) throw new Error(`the terminal does not show ${String(what)}: ${this.lines.join('\n')}`)
      await sleep(50)
    }
  }

  #tmux(...words: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...words], { encoding: 'utf8' })
  }
}

/** Several terminals below each other. */
function write(name: string, title: string, screens: readonly Screen[]): void {
  const columns = Math.max(...screens.map((screen) => screen.columns))
  const lines = screens.flatMap((screen, at) => [...(at === 0 ? [] : [undefined]), ...screen.lines])
  const width = Math.ceil(columns * WIDE + 2 * MARGIN)
  const height = lines.length * HIGH + 2 * MARGIN
  const body = lines.map((line, at) => {
    const y = MARGIN + at * HIGH
    if (line === undefined)
      return `<line x1="0" x2="${width}" y1="${y + HIGH / 2}" y2="${y + HIGH / 2}" stroke="${FAINT}"/>`
    const length = line.length === 0 ? '' : ` textLength="${(line.length * WIDE).toFixed(1)}"`
    const color = line.startsWith('$ ') ? INK : FAINT
    return `<text x="${MARGIN}" y="${y + 14}" fill="${color}"${length} xml:space="preserve">${escaped(line)}</text>`
  })
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" rx="8" fill="${PAPER}"/>
<g font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
${body.join('\n')}
</g>
</svg>
`
  writeFileSync(join(FOLDER, `${name}.svg`), svg)
  console.log(`wrote ${FOLDER}/${name}.svg`)
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

async function waiting(): Promise<void> {
  const [first, second] = [new Screen(100, 6), new Screen(100, 6)]
  first.type('holdfast run demo --label "the nightly report" -- sleep 20')
  await sleep(3000)
  second.type('holdfast run demo -- echo "my turn"')
  await second.shows(/waiting for demo.*0:0[3-9]/)
  write('waiting', 'Two terminals: one waits for the other', [first, second])
}

async function gaveUp(): Promise<void> {
  const screen = new Screen(110, 10)
  screen.type('holdfast run demo --wait 2 -- echo "my turn"')
  await screen.shows(/release +holdfast/)
  write('gave-up', 'Giving up, with the holder and what to type', [screen])
}

async function look(): Promise<void> {
  const [holder, screen] = [new Screen(80, 6), new Screen(100, 30)]
  holder.type('holdfast run paid-api --permits 2/3 -- sleep 30 & holdfast run deploy/api --label v2.4.1 -- sleep 30')
  await sleep(2500)
  for (const words of ['ls', 'show deploy/api', 'doctor']) {
    screen.type(`holdfast ${words}`)
    await sleep(1500)
  }
  await screen.shows(/file: well/)
  write('look', 'ls, show and doctor', [screen])
}

try {
  mkdirSync(FOLDER, { recursive: true })
  await waiting()
  await gaveUp()
  await look()
} finally {
  for (const socket of sockets) execFileSync('tmux', ['-S', socket, 'kill-server'])
  rmSync(home, { recursive: true, force: true })
}
