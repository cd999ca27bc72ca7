/** What this process sends to Redis servers and hears from them. */
import { Socket } from 'node:net'
import { Redis } from 'ioredis'

/**
 * `requests`: commands of ioredis clients, whoever uses them. `keys`: how many keys scripts among them were given. `reads`: times
 * that a socket had something.
 */
export const counts = { requests: 0, keys: 0, reads: 0 }

before(Socket.prototype, 'push', (chunk) => {
  if (chunk !== null) counts.reads += 1
})
before(Redis.prototype, 'sendCommand', (command) => {
  const { name, args } = command as { readonly name: string; readonly args: readonly unknown[] }
  counts.requests += 1
  if (name === 'evalsha') counts.keys += Number(args[1])
})

/** Whenever `method` is called, call `also` first. */
function before(prototype: object, method: string, also: (first: unknown) => void): void {
  const own = Reflect.get(prototype, method) as (...words: unknown[]) => unknown
  const both = function (this: unknown, ...words: unknown[]): unknown {
    also(words[0])
    return own.apply(this, words)
  }
  Reflect.set(prototype, method, both)
}
