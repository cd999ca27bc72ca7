'use strict'

// Apart from holdfast.cjs, because an old Node would not read a word like const.
const { existsSync } = require('node:fs')
const { enableCompileCache } = require('node:module')
const { userInfo } = require('node:os')
const { join } = require('node:path')

const main = join(__dirname, '../dist/bin/main.cjs')
if (existsSync(main)) {
  // Never where Node keeps it by itself: in the folder for temporary files, where anybody could have put something for us to run.
  const home = homeOf()
  if (home) enableCompileCache(join(home, '.cache', 'holdfast'))
  require(main)
} else {
  process.stderr.write('holdfast is not built yet: run npm run build in its folder.\n')
  process.exitCode = 70
}

/** From the account and not from the environment, as the store of the user is. */
function homeOf() {
  try {
    return userInfo().homedir
  } catch {
    // No account for this number, as in some containers: then it is compiled anew each time.
    return undefined
  }
}
