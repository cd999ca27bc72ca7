/** The command line: finds the subcommand, and turns what went wrong into a line for people and a code for scripts. */
import { readFileSync } from 'node:fs'
import { clean } from '../core/text.ts'
import type { Ending } from './exit.ts'
import { EXIT, ExitError, end, exitCodeOf, usageError } from './exit.ts'
import { PROGRAM, optionLines, parse } from './options.ts'
import { print, say } from './text.ts'

interface Command {
  readonly usage: string
  readonly help: string
  /** Imported when it is used: the others must not make it start later. */
  load(): Promise<(args: readonly string[]) => Promise<Ending>>
}

const COMMANDS: Record<string, Command> = {
  run: {
    usage: 'run NAME -- command',
    help: 'hold a lock while a command runs',
    load: async () => (await import('./run.ts')).run,
  },
}

// Without a goodbye to the guardian, which then ends the command.
process.on('uncaughtException', (error) => process.exit(tell(error)))

try {
  await end(await dispatch(process.argv.slice(2)))
} catch (error) {
  await end({ code: tell(error) })
}

async function dispatch(args: readonly string[]): Promise<Ending> {
  const [word = '', ...rest] = args
  const command = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined
  if (command) return (await command.load())(rest)
  if (word !== '' && !word.startsWith('-'))
    throw usageError(`there is no command '${clean(word)}'; holdfast --help lists them`)
  const { values } = parse(PROGRAM, args)
  if (values.version) print(1, `${version()}\n`)
  else if (values.help) print(1, help())
  else throw usageError('say what to do: holdfast run NAME -- command, or holdfast --help')
  return { code: 0 }
}

/** @returns the exit code */
function tell(error: unknown): number {
  if (error instanceof ExitError) {
    if (error.message !== '') say(`${error.message}${error.more}`)
    return error.exitCode
  }
  const code = exitCodeOf(error)
  if (code !== EXIT.ourBug) say((error as Error).message)
  else say(`this is a bug in holdfast: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return code
}

function help(): string {
  const rows = Object.values(COMMANDS).map((command) => [`holdfast ${command.usage}`, command.help] as const)
  const widest = Math.max(...rows.map(([usage]) => usage.length))
  return `usage:\n${rows.map(([usage, text]) => `  ${usage.padEnd(widest)}  ${text}\n`).join('')}
${optionLines(PROGRAM)}
holdfast run --help tells more.
`
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return version
}
