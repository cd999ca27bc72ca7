/** Loaded into a wrapper: writes the URL of each module that it loads, of both kinds, to the file $DIR/loaded. */
import { appendFileSync } from 'node:fs'
import { createRequire, register } from 'node:module'
import { pathToFileURL } from 'node:url'
import { isMainThread } from 'node:worker_threads'

const record = (url) => appendFileSync(`${process.env.DIR}/loaded`, `${url}\n`)

// The hooks run in a thread of their own, from this same file.
if (isMainThread) {
  register(import.meta.url)
  const { cache } = createRequire(import.meta.url)
  process.on('exit', () => Object.keys(cache).forEach((path) => record(pathToFileURL(path).href)))
}

export async function load(url, context, next) {
  record(url)
  return next(url, context)
}
