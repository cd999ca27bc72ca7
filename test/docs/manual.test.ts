import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CLI_PAGE, MAN_PAGE, cliPage, manPage, versionNow } from './manual.ts'

test('the man page is that of the table of commands; npm run manual writes it', () => {
  expect(readFileSync(MAN_PAGE, 'utf8')).toBe(manPage(versionNow()))
})

test('so is the reference of the command line', () => {
  const page = readFileSync(CLI_PAGE, 'utf8')
  expect(cliPage(page)).toBe(page)
  expect(page).toContain('### holdfast completion')
})

test('no line of the man page begins with a command that was not meant', () => {
  const words = /^\.(?:TH|SH|SS|TP|PP|B|br|\\")/
  const commands = manPage('1')
    .split('\n')
    .filter((line) => /^[.']/.test(line))
  expect(commands.filter((line) => !words.test(line))).toEqual([])
})
