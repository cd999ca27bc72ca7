/** What is typed behind the name of a program of this repository. */
import { readFileSync } from 'node:fs'
import type { ParseArgsConfig } from 'node:util'
import { parseArgs } from 'node:util'

/**
 * `parseArgs`, but what it does not know is said in one line, and ends the program with 64; and `--help` shows how the program
 * begins: its first comment says how it is called.
 *
 * @param url of the program, `import.meta.url`
 */
export function wordsOf<T extends ParseArgsConfig>(url: string, config: T): ReturnType<typeof parseArgs<T>> {
  if (process.argv.includes('--help')) {
    const [, comment = ''] = /^\/\*\*(.*?)\*\//s.exec(readFileSync(new URL(url), 'utf8')) ?? []
    console.log(comment.replaceAll(/^ \* ?/gm, '').trim())
    process.exit(0)
  }
  try {
    return parseArgs(config)
  } catch (error) {
    console.error((error as Error).message)
    process.exit(64)
  }
}
