/** `redlock://user:password@a:6379,b:6379,c:6379/0?maxTtlMs=60000&nodeTimeoutMs=300&durable`; with TLS `redlocks://`. */
import { shown } from '../../address.ts'
import { BackendError } from '../../backend.ts'
import type { Location } from '../redis/url.ts'
import { parseRedisUrl } from '../redis/url.ts'
import type { RedlockOptions } from './index.ts'

export interface RedlockLocation {
  readonly locations: readonly Location[]
  readonly options: RedlockOptions
}

/** @throws BackendError `MISCONFIGURED`; the message never shows a password */
export function parseRedlockUrl(url: string): RedlockLocation {
  const wrong = (text: string): BackendError => new BackendError('MISCONFIGURED', `'${shown(url)}': ${text}`)
  const match = /^redlock(s?):\/\/([^@]*@)?([^/?]+)(\/[^?]*)?(?:\?(.*))?$/.exec(url)
  if (!match) throw wrong('that is no address of a quorum; write redlock://a:6379,b:6379,c:6379')
  const [, tls = '', credentials = '', hosts = '', path = '', query] = match
  const locations = hosts.split(',').map((host) => {
    if (host === '') throw wrong(`'${hosts}' is no list of hosts; write a:6379,b:6379,c:6379`)
    return parseRedisUrl(`redis${tls}://${credentials}${host}${path}`)
  })
  if (locations.length === 1)
    throw wrong(
      `one server is no quorum; write redis://${hosts} for one, or name three: redlock://a:6379,b:6379,c:6379`,
    )
  const servers = locations.map(({ addresses: [address] }) => `${address!.host}:${address!.port}`)
  const twice = servers.find((server, index) => servers.indexOf(server) !== index)
  if (twice !== undefined) throw wrong(`${twice} is there twice, and would be a majority of itself`)
  return { locations, options: optionsOf(query, wrong) }
}

function optionsOf(query: string | undefined, wrong: (text: string) => BackendError): RedlockOptions {
  const options: { maxTtlMs?: number; nodeTimeoutMs?: number; durable?: boolean } = {}
  for (const [word, value] of new URLSearchParams(query)) {
    if (word === 'durable' && value === '') options.durable = true
    else if ((word === 'maxTtlMs' || word === 'nodeTimeoutMs') && /^\d{1,9}$/.test(value)) {
      if (Number(value) === 0) throw wrong(`${word} is 0; give milliseconds from 1`)
      options[word] = Number(value)
    } else throw wrong('it knows ?maxTtlMs=60000, &nodeTimeoutMs=300, &durable and nothing else behind a question mark')
  }
  return options
}
