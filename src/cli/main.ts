/** The command line: finds the subcommand, and turns what went wrong into a line for people and a code for scripts. */
import { clean, didYouMean } from '../core/text.ts'
import type { Ending } from './exit.ts'
import { EXIT, ExitError, end, exitCodeOf, usageError } from './exit.ts'
import { commandHelp, programHelp } from './help.ts'
import { parse } from './options.ts'
import type { AnyCommand } from './table.ts'
import { COMMANDS, PROGRAM } from './table.ts'
import { print } from './text.ts'
import { version } from './version.ts'
import { say, speak } from './voice.ts'

// Without a goodbye to the guardian, which then ends the command.
process.on('uncaughtException', (error) => process.exit(tellOf(error)))

void main()

async function main(): Promise<void> {
  try {
    await end(await dispatch(process.argv.slice(2)))
  } catch (error) {
    await end({ code: tellOf(error) })
  }
}

async function dispatch(args: readonly string[]): Promise<Ending> {
  const [word = '', ...rest] = args
  const command = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined
  if (command) return run(word, command, rest)
  if (word !== '' && !word.startsWith('-'))
    throw usageError(
      `there is no command '${clean(word)}'${didYouMean(word, Object.keys(COMMANDS))}; holdfast --help lists them`,
    )
  const { values } = parse(PROGRAM, args)
  if (values.version) print(1, `${version()}\n`)
  else if (values.help) print(1, programHelp())
  else throw usageError('say what to do: holdfast run NAME -- command, or holdfast --help')
  return { code: 0 }
}

async function run(name: string, command: AnyCommand, args: readonly string[]): Promise<Ending> {
  const end = args.indexOf('--')
  const own = end < 0 ? undefined : args.slice(end + 1)
  const order = command.read(end < 0 ? args : args.slice(0, end), own)
  if (order.values.help) {
    print(1, commandHelp(name, command))
    return { code: 0 }
  }
  speak(order.values)
  if (own && !command.runs) throw usageError(`${name} runs no command; leave out -- and what is behind it`)
  return order.start()
}

/** Say what went wrong. @returns the exit code */
function tellOf(error: unknown): number {
  const code = exitCodeOf(error)
  const text = textOf(error, code)
  if (text !== '') say(text, { type: 'error', code, text })
  return code
}

function textOf(error: unknown, code: number): string {
  if (error instanceof ExitError) return error.message === '' ? '' : `${error.message}${error.more}`
  if (code !== EXIT.ourBug) return (error as Error).message
  return `this is a bug in holdfast: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
}
