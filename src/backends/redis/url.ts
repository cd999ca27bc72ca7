/**
 * The addresses of Redis.
 *
 * `redis://user:password@host:6379/0`, the same with `rediss:` for TLS and `valkey:`; `redis+unix:///path/to/socket?db=0`;
 * `redis+sentinel://:password@host:26379,host:26379/master-name/0`; `redis+cluster://host:7000,host:7001`. All but the last
 * take `?replicas=1`.
 */
import type { Address } from '../../address.ts'
import { addressesOf, askedFor, decoded, shown } from '../../address.ts'
import { BackendError } from '../../backend.ts'

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
  /** How many replicas must have what counts. */
  readonly replicas?: number
}

/** More would be a mistake; a primary with so many has other troubles. */
export const REPLICAS_MAX = 99

/** Why a cluster is refused. */
export const NO_REPLICAS_IN_A_CLUSTER: string =
  'a cluster cannot wait for replicas: WAIT must follow the script on its very connection, and a client that follows slots does not tell which that was; use a primary with replicas under sentinels'

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
  const wrong = (text: string): BackendError => new BackendError('MISCONFIGURED', `'${shown(url)}': ${text}`)
  const match = /^([a-z+]+):\/\/(?:([^@]*)@)?([^/?]*)(\/[^?]*)?(?:\?(.*))?$/.exec(url)
  const scheme = SCHEMES[(match?.[1] ?? '') as keyof typeof SCHEMES]
  if (!match || !scheme) throw wrong(`that is no address of Redis; write redis://host:6379`)
  const [, , credentials, hosts = '', path = '', query] = match
  const { kind, tls, port } = scheme
  const decode = (text: string): string => decoded(text, wrong)
  const database = (text: string | undefined): number => {
    if (text === undefined || text === '') return 0
    if (!/^\d{1,5}$/.test(text)) throw wrong(`a database is a number, not '${text}'`)
    return Number(text)
  }
  const colon = credentials?.indexOf(':') ?? -1
  const username = decode(credentials === undefined ? '' : colon < 0 ? credentials : credentials.slice(0, colon))
  const password = decode(credentials === undefined || colon < 0 ? '' : credentials.slice(colon + 1))
  const login = { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) }
  const asked = askedFor(query, kind === 'unix' ? { db: '1', replicas: '1' } : { replicas: '1' }, wrong)
  const replicas = asked.get('replicas')
  if (replicas !== undefined && kind === 'cluster') throw wrong(NO_REPLICAS_IN_A_CLUSTER)
  if (replicas !== undefined && !/^[1-9]\d?$/.test(replicas))
    throw wrong(`replicas is a number from 1 to ${REPLICAS_MAX}, not '${replicas}'`)
  const common = { kind, tls, ...login, ...(replicas === undefined ? {} : { replicas: Number(replicas) }) }
  if (kind === 'unix') {
    if (hosts !== '') throw wrong('a socket has a path and no host; write redis+unix:///path/to/socket')
    if (path.length < 2) throw wrong('there is no path; write redis+unix:///path/to/socket')
    return { ...common, addresses: [], path: decode(path), database: database(asked.get('db')) }
  }
  const addresses = addressesOf(hosts, port, wrong)
  const whole = { ...common, addresses }
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
