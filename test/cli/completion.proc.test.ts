/** What a shell completes: in bash by its function, and in each shell that there is by its Tab key. */
import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { BIN, Place, until } from './kit/holdfast.ts'
import { Terminal, hasTmux } from './kit/terminal.ts'

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0

/** A place in which two names are held, and a `holdfast` on the PATH. */
async function held(): Promise<{ place: Place; env: NodeJS.ProcessEnv }> {
  const place = new Place()
  for (const name of ['deploy:api', 'nightly']) {
    place.run(name, '-c', `touch $DIR/${name.replace(':', '-')}; sleep 60`)
    await place.has(name.replace(':', '-'))
  }
  writeFileSync(place.path('holdfast'), `#!/bin/sh\nexec '${process.execPath}' '${BIN}' "$@"\n`, { mode: 0o755 })
  const PATH = `${place.dir}:${process.env['PATH']}`
  return { place, env: { ...process.env, PATH, HOLDFAST_URL: place.url } }
}

/** What bash would put in the place of the last word. */
function inBash(line: string, env: NodeJS.ProcessEnv): string[] {
  const script = `source <(holdfast completion bash)
    COMP_LINE="$1" COMP_POINT=\${#1}
    _holdfast
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const text = execFileSync('bash', ['-c', script, 'bash', line], { env, encoding: 'utf8' })
  return text.split('\n').filter((each) => each !== '')
}

test('bash completes commands, options, values, the names that are held, and shells', async () => {
  const { place, env } = await held()
  expect(inBash('holdfast ', env)).toEqual(expect.arrayContaining(['run', 'lead', 'ls', 'completion', '--help']))
  expect(inBash('holdfast re', env)).toEqual(['release'])
  expect(inBash('holdfast run --ma', env)).toEqual(['--max-time'])
  expect(inBash('holdfast run x --on-lost ', env)).toEqual(['term', 'warn'])
  expect(inBash('holdfast show ', env)).toEqual(['deploy:api', 'nightly'])
  expect(inBash('holdfast show n', env)).toEqual(['nightly'])
  // bash completes from the last colon on.
  expect(inBash('holdfast show deploy:', env)).toEqual(['api'])
  expect(inBash('holdfast check --kind p', env)).toEqual(['permits'])
  expect(inBash('holdfast completion ', env)).toEqual(['bash', 'zsh', 'fish'])
  expect(inBash('holdfast doctor ', env)).toEqual([])
  expect(inBash('holdfast run x -- hostn', env)).toContain('hostname')
  const elsewhere = { ...env, HOLDFAST_URL: `file:${place.dir}/other` }
  expect(inBash('holdfast show ', elsewhere)).toEqual([])
  expect(inBash(`holdfast show --url ${place.url} n`, elsewhere)).toEqual(['nightly'])
})

const TAB: readonly (readonly [shell: string, start: string, load: string])[] = [
  ['bash', 'bash --norc --noprofile', 'eval "$(holdfast completion bash)"'],
  ['zsh', 'zsh -f', 'autoload -U compinit; compinit -D -u; eval "$(holdfast completion zsh)"'],
  ['fish', 'fish --no-config', 'holdfast completion fish | source'],
]

for (const [shell, start, load] of TAB) {
  test.skipIf(!hasTmux || !has(shell))(
    `in ${shell}, Tab completes a name and an option (needs tmux and ${shell})`,
    async () => {
      const { place, env } = await held()
      const terminal = new Terminal(place, 120)
      terminal.type(`PATH=${env['PATH']} HOLDFAST_URL=${place.url} ${start}`)
      terminal.type(`${load}; echo loa''ded`)
      await terminal.shows(/^loaded/m)
      terminal.write('holdfast show nig')
      terminal.press('Tab')
      await terminal.shows(/holdfast show nightly/)
      // Not Ctrl-C: what is typed while a shell deals with that may be thrown away.
      terminal.press('C-u')
      await until(() => !terminal.screen.includes('show nightly'), 'an empty line')
      terminal.write('holdfast release nightly --fe')
      terminal.press('Tab')
      await until(() => /holdfast release nightly --fence/.test(terminal.screen), 'the option')
    },
  )
}
