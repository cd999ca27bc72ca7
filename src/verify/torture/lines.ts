/** A wire of its own for whoever speaks to a coordinator, where the address shows where it is and nothing is encrypted. */
import { addressesOf } from '../../address.ts'
import { BackendError } from '../../backend.ts'
import type { Line } from './crew.ts'
import { Cable } from './wire.ts'

const PORTS: Readonly<Record<string, number>> = { redis: 6379, valkey: 6379, redlock: 6379, etcd: 2379 }

/** `undefined`: there is none. A sentinel and a cluster tell where to go on, past any wire; TLS knows its host by name. */
export function layerOf(url: string): (() => Promise<Line & { readonly wire: Cable }>) | undefined {
  const match = /^(redis|valkey|redlock|etcd):\/\/((?:[^@/]*@)?)([^/?]*)(.*)$/.exec(url)
  if (!match) return undefined
  const [, scheme = '', credentials = '', hosts = '', rest = ''] = match
  const wrong = (text: string): BackendError => new BackendError('MISCONFIGURED', text)
  const addresses = addressesOf(hosts, PORTS[scheme]!, wrong)
  return async () => {
    const wire = await Cable.start(addresses)
    const ends = wire.ports.map((port) => `127.0.0.1:${port}`).join(',')
    return { url: `${scheme}://${credentials}${ends}${rest}`, wire }
  }
}
