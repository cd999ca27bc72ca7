'use strict'

// Apart from holdfast.cjs, because an old Node would not read a word like const.
const { existsSync } = require('node:fs')
const { join } = require('node:path')

const main = join(__dirname, '../dist/bin/main.cjs')
if (existsSync(main)) {
  // What was compiled once is kept in the folder for temporary files, where Node keeps that of all programs that ask for it.
  require('node:module').enableCompileCache()
  require(main)
} else {
  process.stderr.write('holdfast is not built yet: run npm run build in its folder.\n')
  process.exitCode = 70
}
