/**
 * Loaded into a wrapper before it starts: kills it -9 around the moment at which it starts its command.
 *
 * KILL_SELF=before | after | so many microseconds after the start was asked for, from another thread, so that it hits in
 * the middle: between fork and exec, or between exec and the word to the guardian.
 */
import child_process from 'node:child_process'
import { syncBuiltinESMExports } from 'node:module'
import { Worker } from 'node:worker_threads'

const when = process.env.KILL_SELF
const go = new Int32Array(new SharedArrayBuffer(4))
const killer = `
  const { workerData: { go, delayUs } } = require('node:worker_threads')
  Atomics.wait(go, 0, 0)
  const until = process.hrtime.bigint() + BigInt(delayUs * 1000)
  while (process.hrtime.bigint() < until);
  process.kill(process.pid, 'SIGKILL')
`
if (when !== 'before' && when !== 'after') {
  new Worker(killer, { eval: true, workerData: { go, delayUs: Number(when) } }).unref()
}

const { spawn } = child_process
child_process.spawn = (file, ...rest) => {
  const isCommand = file !== process.execPath
  if (isCommand && when === 'before') process.kill(process.pid, 'SIGKILL')
  if (isCommand && when !== 'after') {
    Atomics.store(go, 0, 1)
    Atomics.notify(go, 0)
  }
  const child = spawn(file, ...rest)
  if (isCommand && when === 'after') process.kill(process.pid, 'SIGKILL')
  return child
}
syncBuiltinESMExports()
