/** What a cluster is like, and what that means for the guarantees. */
import type { Backend, Finding } from '../../backend.ts'
import { advice, error, latency, ok, rights } from '../../findings.ts'
import { realRuntime } from '../../runtime.ts'
import type { EtcdClient } from './client.ts'
import { etcdError } from './errors.ts'
import type { Member, StatusResponse } from './messages.ts'
import { LEASE_GRANT, LEASE_REVOKE, MEMBERS, STATUS } from './messages.ts'

/** What a server takes by default before it takes nothing more. Older ones do not tell what theirs is. */
const USUAL_QUOTA_BYTES = 2 * 1024 ** 3
const FILLED = 0.75
/** Longer than an answer takes to come, unless something is wrong. */
const STATUS_MS = 2000

/** What versions do wrong, each from the first to before the one that mends it. */
const DEFECTS: readonly { readonly mended: readonly (readonly [number, number, number])[]; readonly text: string }[] = [
  {
    // etcd-io/etcd#18089
    mended: [
      [3, 4, 36],
      [3, 5, 18],
    ],
    text: 'a watch may miss a deletion at a revision that was just compacted; a waiter then finds out by its timer, seconds later',
  },
  {
    // etcd-io/etcd: "Fix lease renew success for a revoked lease" in the notes of 3.4.38, 3.5.23 and 3.6.5
    mended: [
      [3, 4, 38],
      [3, 5, 23],
      [3, 6, 5],
    ],
    text: 'a keep-alive of a lease that was just revoked may be answered as if it stood; the watch of the entry tells',
  },
]

interface Asked {
  readonly endpoint: string
  readonly tookMs: number
  readonly status: StatusResponse | undefined
  readonly trouble: unknown
}

/** @param mode what keeps the entries */
export async function diagnose(client: EtcdClient, backend: Backend, mode: string): Promise<Finding[]> {
  const asked = await Promise.all(client.endpoints.map((endpoint) => ask(client, endpoint)))
  const answered = asked.filter(({ status }) => status !== undefined)
  const findings = asked.flatMap((each) => member(each, answered.length > 0))
  if (answered.length === 0) return findings
  try {
    const { members } = await client.call(MEMBERS, {})
    findings.push(...cluster(members, asked), await floor(client, mode))
  } catch (cause) {
    findings.push(error('cluster', `the cluster cannot be asked: ${etcdError(cause).message}`))
  }
  findings.push(
    ok(
      'clock',
      'leases are counted by the clock of the leader, and fences are revisions: no clock of another is asked',
    ),
    await rights(backend),
  )
  return findings
}

async function ask(client: EtcdClient, endpoint: string): Promise<Asked> {
  const one = client.of(endpoint)
  const sentAt = realRuntime.monotonicMs()
  try {
    const status = await one.call(STATUS, {}, STATUS_MS)
    return { endpoint, status, tookMs: realRuntime.monotonicMs() - sentAt, trouble: undefined }
  } catch (trouble) {
    return { endpoint, status: undefined, tookMs: 0, trouble }
  } finally {
    one.close()
  }
}

/** @param others some of the members can be asked */
function member({ endpoint, status, tookMs, trouble }: Asked, others: boolean): Finding[] {
  if (!status) {
    const text = `${endpoint} cannot be asked: ${etcdError(trouble).message}`
    return [others ? advice('reachability', `${text}; another one is asked`) : error('reachability', text)]
  }
  const { version, leader, errors, dbSize } = status
  return [
    latency(tookMs, `${endpoint}: `),
    ...versions(endpoint, version),
    leader === 0n
      ? error('leader', `${endpoint} knows no leader: nothing is granted, renewed or released through it`)
      : ok('leader', `${endpoint} knows the leader ${leader.toString(16)}`),
    ...errors.map((text) => error('alarm', `${endpoint}: ${text}${advised(text)}`)),
    dbSize > FILLED * USUAL_QUOTA_BYTES
      ? advice(
          'quota',
          `${endpoint}: the store has ${mebibytes(dbSize)}; by default etcd takes nothing new at ${mebibytes(USUAL_QUOTA_BYTES)}. Compact and defragment it, or raise --quota-backend-bytes`,
        )
      : ok('quota', `${endpoint}: the store has ${mebibytes(dbSize)}`),
  ]
}

function versions(endpoint: string, version: string): Finding[] {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number)
  if (major < 3 || (major === 3 && minor < 4))
    return [error('version', `${endpoint}: version ${version}; leases and watches need 3.4`)]
  const defects = DEFECTS.filter(({ mended }) => {
    const [, , mendedIn = 0] = mended.find(([, mendedMinor]) => mendedMinor === minor) ?? []
    return patch < mendedIn
  })
  if (defects.length === 0) return [ok('version', `${endpoint}: version ${version}`)]
  return defects.map(({ text }) => advice('version', `${endpoint}: version ${version}: ${text}`))
}

function advised(alarm: string): string {
  if (alarm.includes('NOSPACE'))
    return ': the store is full; what is held can be released and renewed, and nothing new is granted'
  return alarm.includes('CORRUPT') ? ': members disagree about the data; nothing that it says can be trusted' : ''
}

function cluster(members: readonly Member[], asked: readonly Asked[]): Finding[] {
  const count = members.length
  const mayFail = Math.floor((count - 1) / 2)
  const size =
    count === 1
      ? advice('members', 'there is one member: while it is down, nothing is granted, renewed or released')
      : ok('members', `there are ${count} members, of which ${mayFail} may fail`)
  const leaders = new Set(asked.flatMap(({ status }) => (status && status.leader !== 0n ? [status.leader] : [])))
  const terms = new Set(asked.flatMap(({ status }) => (status ? [status.raftTerm] : [])))
  const clusters = new Set(asked.flatMap(({ status }) => (status ? [status.header!.clusterId] : [])))
  const one = clusters.size > 1 ? [error('members', 'the addresses are of different clusters')] : []
  const agree =
    leaders.size > 1 || terms.size > 1 ? [advice('leader', 'the members do not agree: the leader is changing')] : []
  const missing = count - asked.length
  const known =
    missing > 0
      ? [advice('members', `${missing} of them are not in the address: without the others nobody is asked`)]
      : []
  return [size, ...one, ...agree, ...known]
}

/** How short a lease can be: the server makes it longer than an election takes. */
async function floor(client: EtcdClient, mode: string): Promise<Finding> {
  if (mode === 'observed')
    return ok('leases', 'entries have no lease of etcd: a leader that stood still and comes back ends none')
  const { id, ttl } = await client.call(LEASE_GRANT, { ttl: 1 })
  await client.call(LEASE_REVOKE, { id })
  const text = `the shortest lease lasts ${ttl} s; a leader that stands still for longer than a lease and comes back may end it early`
  return ttl > 5 ? advice('leases', text) : ok('leases', text)
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(0)} MiB`
}
