/** What a Redis server does, as its MONITOR tells: a line for each command, in the order in which it carries them out. */
import { once } from 'node:events'
import { connect } from 'node:net'

export interface Command {
  /** By the server's wall clock, in microseconds. */
  readonly at: number
  /** A script has called it. */
  readonly inner: boolean
  /** Lower case. */
  readonly name: string
  /** With the name. Read when they are wanted: most are not. */
  readonly words: () => string[]
}

export interface Monitor {
  /** It was cut off, and something may be missing. */
  readonly lost: boolean
  end(): void
}

/** Hear of every command from now on. */
export async function monitor(port: number, heard: (command: Command) => void): Promise<Monitor> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  let [lost, ended, rest] = [false, false, '']
  const gone = (): void => void (lost = !ended)
  socket.on('close', gone).on('error', gone)
  await once(socket, 'connect')
  await new Promise<void>((stands, fails) => {
    socket.once('close', () => fails(new Error('the server takes no MONITOR')))
    socket.on('data', (text: string) => {
      const lines = (rest + text).split('\r\n')
      rest = lines.pop()!
      for (const line of lines) {
        const command = commandOf(line)
        if (command) heard(command)
        else stands()
      }
    })
    socket.write('MONITOR\r\n')
  })
  return {
    get lost() {
      return lost
    },
    end() {
      ended = true
      socket.destroy()
    },
  }
}

/** `+1767225600.123456 [0 127.0.0.1:50000] "set" "key" "a \"word\""`; in place of the address `lua`: of a script. */
function commandOf(line: string): Command | undefined {
  const [, seconds, micros, source, name] = /^\+(\d+)\.(\d{6}) \[\d+ ([^\]]+)\] "(\w+)"/.exec(line) ?? []
  if (!name) return undefined
  return {
    at: Number(seconds) * 1_000_000 + Number(micros),
    inner: source === 'lua',
    name: name.toLowerCase(),
    words: () => [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text]) => plain(text!)),
  }
}

const LETTERS: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' }

/** As it was before the server made it readable. */
function plain(text: string): string {
  const bytes = text.replace(/\\(?:x([\da-f]{2})|(.))/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (LETTERS[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1').toString()
}
