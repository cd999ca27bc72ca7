/** Finds the command, as a shell would, before anything is locked for it. */
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { EXIT, ExitError } from '../exit.ts'

/** Where execvp(3) looks without a PATH. */
const USUAL_PATH = '/bin:/usr/bin'

/**
 * @returns the path of the file to execute
 * @throws ExitError 126 when it cannot be executed, 127 when there is none
 */
export function findCommand(command: string): string {
  if (command.includes('/')) {
    const path = resolve(command)
    switch (look(path)) {
      case 'command':
        return path
      case 'nothing':
        throw new ExitError(EXIT.notFound, `${command}: no such file`)
      case 'other':
        throw new ExitError(EXIT.notExecutable, `${command}: not executable`)
    }
  }
  let found: string | undefined
  for (const folder of (process.env['PATH'] ?? USUAL_PATH).split(delimiter)) {
    const path = resolve(join(folder, command))
    const what = command === '' ? 'nothing' : look(path)
    if (what === 'command') return path
    if (what === 'other') found ??= path
  }
  if (found !== undefined) throw new ExitError(EXIT.notExecutable, `${found}: not executable`)
  throw new ExitError(EXIT.notFound, `${command}: command not found`)
}

function look(path: string): 'command' | 'other' | 'nothing' {
  try {
    if (!statSync(path).isFile()) return 'other'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? 'other' : 'nothing'
  }
  try {
    accessSync(path, constants.X_OK)
    return 'command'
  } catch {
    return 'other'
  }
}
