/**
 * Ends a command whose wrapper cannot: one that is stopped, or was killed.
 *
 * A process of its own, in a session of its own, so that what is done to the wrapper's process group or terminal is not
 * done to it. It hears from the wrapper over a pipe, one line of JSON each. When a deadline passes, it does what the
 * wrapper should have done. When the pipe ends without a goodbye, the wrapper is dead: then it kills the tree at once.
 *
 * For `file:` it has, as descriptor 3, the socket by which others see that this instance lives. The kernel refuses
 * connections to it only when all who have it are gone, so nobody can succeed a dead wrapper before the guardian is done.
 *
 * Why the end of the pipe is late enough: a process that the wrapper forked, and that has not yet become the command, has
 * a copy of the wrapper's end. The kernel closes that copy when it becomes the command. So at the end of the pipe there
 * is no such process left, and the command, if there is one, can be told by its environment.
 */
import { closeSync, read } from 'node:fs'
import { ElapsedClock } from '../../elapsed.ts'
import { Countdown, machineClocks } from './countdown.ts'
import type { Word } from './guard.ts'
import { Tree } from './tree.ts'

const PIPE = 0
const LIFELINE = 3

const clock = new ElapsedClock(machineClocks)
const buffer = Buffer.alloc(65_536)
let unread = ''
let tree: Tree | undefined
let countdown: Countdown | undefined
let killing: Promise<void> | undefined
let timer: NodeJS.Timeout | undefined

// A service manager signals every process of a service, also this one. It goes when it is no longer needed.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
  process.on(signal, () => {})
}
listen()

function listen(): void {
  read(PIPE, buffer, 0, buffer.length, null, (error, bytes) => {
    if (error || bytes === 0) return void wrapperDied()
    unread += buffer.toString('utf8', 0, bytes)
    const lines = unread.split('\n')
    unread = lines.pop() ?? ''
    for (const line of lines) hear(JSON.parse(line) as Word)
    listen()
  })
}

function hear(word: Word): void {
  switch (word.about) {
    case 'command':
      tree = new Tree(word.origin)
      break
    case 'child':
      tree?.plant(word.child)
      look()
      break
    case 'deadline':
      countdown = new Countdown(clock, word)
      look()
      break
    case 'asked':
      countdown?.asked()
      break
    case 'done':
      leave()
  }
}

function look(): void {
  clearTimeout(timer)
  if (!countdown || !tree) return
  const { due, pauseMs } = countdown.look()
  if (due === 'ask') tree.signal(countdown.signal)
  // One after the other: each waits until all are gone.
  if (due === 'kill') killing ??= tree.kill().finally(() => (killing = undefined))
  timer = setTimeout(look, pauseMs)
}

async function wrapperDied(): Promise<void> {
  clearTimeout(timer)
  await tree?.kill()
  leave()
}

function leave(): never {
  try {
    // At once, and not when this process has been taken apart: somebody waits for it.
    closeSync(LIFELINE)
  } catch {
    // Other coordinators than file: have none.
  }
  process.exit()
}
