/**
 * The addresses of etcd.
 *
 * `etcd://user:password@a:2379,b:2379,c:2379`, and the same with `etcds:` for TLS. Behind a question mark: `ca`, `cert`, `key`,
 * the files of the authority, and of the client's certificate and its key; `prefix`, what all keys begin with; `lease` and
 * `interop`, as in `EtcdOptions`.
 */
import { readFileSync } from 'node:fs'
import type { Wrong } from '../../address.ts'
import { addressesOf, askedFor, decoded, shown } from '../../address.ts'
import { BackendError } from '../../backend.ts'
import type { Security } from './channel.ts'
import type { ClientOptions } from './client.ts'
import { isPrefix } from './keys.ts'

export interface EtcdLocation {
  readonly client: ClientOptions
  readonly options: {
    readonly keyPrefix?: string
    readonly lease?: 'process' | 'entry' | 'observed'
    readonly interop?: boolean
  }
}

const PORT = 2379
const KNOWN = { ca: 'ca.crt', cert: 'me.crt', key: 'me.key', prefix: 'shop', lease: 'entry', interop: '1' }
const FILES: ReadonlySet<string> = new Set(['ca', 'cert', 'key'])

/** @throws BackendError `MISCONFIGURED`; the message never shows a password */
export function parseEtcdUrl(url: string): EtcdLocation {
  const wrong = (text: string): BackendError => new BackendError('MISCONFIGURED', `'${shown(url)}': ${text}`)
  const match = /^(etcds?):\/\/(?:([^@]*)@)?([^/?]*)\/?(?:\?(.*))?$/.exec(url)
  if (!match) throw wrong('that is no address of etcd; write etcd://host:2379')
  const [, scheme, credentials, hosts = '', query] = match
  const tls = scheme === 'etcds'
  const endpoints = addressesOf(hosts, PORT, wrong).map(({ host, port }) => {
    return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
  })
  const asked = askedFor(query, KNOWN, wrong)
  const lease = asked.get('lease')
  if (lease !== undefined && lease !== 'process' && lease !== 'entry' && lease !== 'observed')
    throw wrong(`lease is process, entry or observed, not '${lease}'`)
  const interop = asked.get('interop')
  if (interop !== undefined && interop !== '1') throw wrong(`interop is 1, not '${interop}'`)
  const prefix = asked.get('prefix')
  if (prefix !== undefined && !isPrefix(prefix)) throw wrong('prefix is a text without control characters')
  if (!tls && [...FILES].some((file) => asked.has(file))) throw wrong('certificates need TLS; write etcds://')
  if (asked.has('cert') !== asked.has('key')) throw wrong('a certificate and its key come together: ?cert=…&key=…')
  const colon = credentials?.indexOf(':') ?? -1
  if (credentials !== undefined && colon < 1) throw wrong('a user needs a password; write user:password@')
  const login =
    credentials === undefined
      ? {}
      : { user: decoded(credentials.slice(0, colon), wrong), password: decoded(credentials.slice(colon + 1), wrong) }
  return {
    client: { endpoints, ...login, ...(tls ? { security: securityOf(asked, wrong) } : {}) },
    options: {
      ...(prefix === undefined ? {} : { keyPrefix: prefix }),
      ...(lease === undefined ? {} : { lease }),
      ...(interop === undefined ? {} : { interop: true }),
    },
  }
}

function securityOf(asked: ReadonlyMap<string, string>, wrong: Wrong): Security {
  const read = (name: 'ca' | 'cert' | 'key'): { [file: string]: Buffer } => {
    const path = asked.get(name)
    if (path === undefined) return {}
    try {
      return { [name]: readFileSync(path) }
    } catch (cause) {
      throw wrong(`the file of ${name} cannot be read: ${(cause as Error).message}`)
    }
  }
  return { ...read('ca'), ...read('cert'), ...read('key') }
}
