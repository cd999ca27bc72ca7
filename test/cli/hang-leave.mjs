/** Loaded into a wrapper: the coordinator does not answer when a lease is given back. The file $DIR/leaving says so. */
import { writeFileSync } from 'node:fs'
import { FileBackend } from '../../dist/backends/file/index.js'

FileBackend.prototype.leave = () => {
  writeFileSync(`${process.env.DIR}/leaving`, '')
  return new Promise(() => {})
}
