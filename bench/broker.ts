/** The server of live-mutex: `broker.ts <socket>`. */
import { createRequire } from 'node:module'
import { serve } from './lib/processes.ts'

interface Broker {
  ensure(): Promise<unknown>
}

const peers = createRequire(new URL('peers/package.json', import.meta.url))
const { Broker } = peers('live-mutex') as { Broker: new (options: object) => Broker }
await new Broker({ udsPath: process.argv[2], lockExpiresAfter: 120_000 }).ensure()
serve({ usage: () => ({ cpu: process.cpuUsage(), writes: 0 }) }, () => {})
