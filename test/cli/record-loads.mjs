/** Loaded into a wrapper: writes the URL of each module that it loads to the file $DIR/loaded. */
import { appendFileSync } from 'node:fs'
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

// The hooks run in a thread of their own, from this same file.
if (isMainThread) register(import.meta.url)

export async function load(url, context, next) {
  appendFileSync(`${process.env.DIR}/loaded`, `${url}\n`)
  return next(url, context)
}
