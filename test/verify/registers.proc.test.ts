/** The registers that worker processes visit, when a visitor is killed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Registers } from '../../src/verify/torture/registers.ts'

/** Visits, is answered, and never reads that. */
const VISITOR = `
  const socket = require('node:net').connect(process.argv[1], () => {
    socket.pause()
    socket.write(process.argv[2] + '\\n', () => setTimeout(() => console.log('visited'), 100))
  })
  setInterval(() => {}, 1000)`

test('one that is killed before it has read its answer troubles nobody', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-registers-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const registers = await Registers.start(join(directory, 'registers'))
  onTestFinished(() => registers.end())
  const visit = JSON.stringify({ name: 'a', visitor: { process: 'p', hold: 'p/1', fence: 1, mode: 'exclusive' } })
  const visitor = spawn(process.execPath, ['-e', VISITOR, registers.path, visit], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(visitor.stdout, 'data')
  visitor.kill('SIGKILL')
  await once(visitor, 'close')
  // What went wrong would be told to nobody, and would end the process of the test.
  const other = connect(registers.path)
  onTestFinished(() => void other.destroy())
  other.write(`${visit}\n`)
  const [answer] = (await once(other, 'data')) as [Buffer]
  expect(JSON.parse(answer.toString())).toMatchObject([{ accepted: true }, { accepted: true }])
})
