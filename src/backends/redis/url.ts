/**
 * The addresses of Redis, taken apart by hand: `URL` knows one host.
 *
 * `redis://user:password@host:6379/0`, the same with `rediss:` for TLS and `valkey:`; `redis+unix:///path/to/socket?db=0`;
 * `redis+sentinel://:password@host:26379,host:26379/master-name/0`; `redis+cluster://host:7000,host:7001`.
 */
import { BackendError } from '../../backend.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Location {
  readonly kind: 'single' | 'unix' | 'sentinel' | 'cluster'
  readonly tls: boolean
  readonly addresses: readonly Address[]
  /** Of a socket. */
  readonly path?: string
  /** The name under which the sentinels know the primary. */
  readonly master?: string
  readonly username?: string
  readonly password?: string
  readonly database: number
}

/** What each scheme is: the first way to write it is the one that messages show. */
export const SCHEMES = {
  redis: { kind: 'single', tls: false, port: 6379 },
  rediss: { kind: 'single', tls: true, port: 6379 },
  valkey: { kind: 'single', tls: false, port: 6379 },
  valkeys: { kind: 'single', tls: true, port: 6379 },
  'redis+unix': { kind: 'unix', tls: false, port: 0 },
  'redis+sentinel': { kind: 'sentinel', tls: false, port: 26_379 },
  'rediss+sentinel': { kind: 'sentinel', tls: true, port: 26_379 },
  'redis+cluster': { kind: 'cluster', tls: false, port: 6379 },
  'rediss+cluster': { kind: 'cluster', tls: true, port: 6379 },
} as const

/** @throws BackendError `MISCONFIGURED`; the message never shows a password */
export function parseRedisUrl(url: string): Location {
  const shown = url.replace(/\/\/.*@/, '//…@')
  const wrong = (text: string): BackendError => new BackendError('MISCONFIGURED', `'${shown}': ${text}`)
  const match = /^([a-z+]+):\/\/(?:([^@]*)@)?([^/?]*)(\/[^?]*)?(?:\?(.*))?$/.exec(url)
  const scheme = SCHEMES[(match?.[1] ?? '') as keyof typeof SCHEMES]
  if (!match || !scheme) throw wrong(`that is no address of Redis; write redis://host:6379`)
  const [, , credentials, hosts = '', path = '', query] = match
  const { kind, tls, port } = scheme
  const decode = (text: string): string => {
    try {
      return decodeURIComponent(text)
    } catch {
      throw wrong('a % in it is no percent-encoding; write %25 for a percent sign')
    }
  }
  const database = (text: string | undefined): number => {
    if (text === undefined || text === '') return 0
    if (!/^\d{1,5}$/.test(text)) throw wrong(`a database is a number, not '${text}'`)
    return Number(text)
  }
  const colon = credentials?.indexOf(':') ?? -1
  const username = decode(credentials === undefined ? '' : colon < 0 ? credentials : credentials.slice(0, colon))
  const password = decode(credentials === undefined || colon < 0 ? '' : credentials.slice(colon + 1))
  const login = { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) }
  if (kind === 'unix') {
    if (hosts !== '') throw wrong('a socket has a path and no host; write redis+unix:///path/to/socket')
    if (path.length < 2) throw wrong('there is no path; write redis+unix:///path/to/socket')
    const number = query === undefined ? '' : /^db=(.*)$/.exec(query)?.[1]
    if (number === undefined) throw wrong('it knows ?db= and nothing else behind a question mark')
    return { kind, tls, addresses: [], path: decode(path), database: database(number), ...login }
  }
  if (query !== undefined) throw wrong('it knows nothing behind a question mark')
  const addresses = hosts.split(',').map((text) => addressOf(text, port) ?? undefined)
  if (addresses.includes(undefined)) throw wrong(`'${hosts}' is no list of hosts; write host:port,host:port`)
  const whole = { kind, tls, addresses: addresses as Address[], ...login }
  const parts = path.split('/').slice(1).map(decode)
  switch (kind) {
    case 'single':
      if (addresses.length > 1)
        throw wrong('it takes one host; several are redis+cluster://, redis+sentinel:// or redlock://')
      if (parts.length > 1) throw wrong('behind the host comes the number of a database and nothing else')
      return { ...whole, database: database(parts[0]) }
    case 'sentinel': {
      const [master, number, ...more] = parts
      if (master === undefined || master === '' || more.length > 0)
        throw wrong('behind the hosts comes the name of the primary; write redis+sentinel://host:26379/mymaster')
      return { ...whole, master, database: database(number) }
    }
    case 'cluster':
      if (parts.some((part) => part !== '')) throw wrong('a cluster has one database; write nothing behind the hosts')
      return { ...whole, database: 0 }
  }
}

function addressOf(text: string, port: number): Address | undefined {
  const match = /^(\[[\da-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(text)
  if (!match) return undefined
  return { host: match[1]!.replaceAll(/[[\]]/g, ''), port: match[2] === undefined ? port : Number(match[2]) }
}
