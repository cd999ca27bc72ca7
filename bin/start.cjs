'use strict'

// Apart from holdfast.cjs, because an old Node would already trip over the word import below.
const { existsSync } = require('node:fs')
const { join } = require('node:path')

if (existsSync(join(__dirname, '../dist/cli/main.js'))) {
  void import('../dist/cli/main.js')
} else {
  process.stderr.write('holdfast is not built yet: run npm run build in its folder.\n')
  process.exitCode = 70
}
