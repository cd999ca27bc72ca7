/** Loaded into a wrapper: once the file $DIR/broken is there, it can write no file any more, as if its disk had failed. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const { writeSync, existsSync } = fs
fs.writeSync = (file, ...rest) => {
  if (file > 2 && existsSync(`${process.env.DIR}/broken`)) throw Object.assign(new Error('EIO'), { code: 'EIO' })
  return writeSync(file, ...rest)
}
syncBuiltinESMExports()
