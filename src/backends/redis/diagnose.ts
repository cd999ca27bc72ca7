/** What a server is like, and what that means for the guarantees. */
import type { Backend, Finding } from '../../backend.ts'
import { advice, error, latency, ok, rights } from '../../findings.ts'
import { realRuntime } from '../../runtime.ts'
import type { Client } from './client.ts'
import { redisError } from './errors.ts'

/** A clock that is further off than this shows in fences, should another server take over. */
const CLOCK_OFF_MS = 1000
/** The first version that can be told to release while its memory is full. */
const OLDEST_MAJOR = 7

type Facts = ReadonlyMap<string, string>

/** @param replicas how many must have a grant before it counts */
export async function diagnose(client: Client, backend: Backend, replicas: number): Promise<Finding[]> {
  const sentAt = realRuntime.monotonicMs()
  let infos: string[]
  try {
    infos = (await client.everywhere('INFO')) as string[]
  } catch (cause) {
    const { message } = redisError(cause)
    return [{ level: 'error', subject: 'reachability', text: `it cannot be asked: ${message}` }]
  }
  const tookMs = realRuntime.monotonicMs() - sentAt
  const findings: Finding[] = [latency(tookMs)]
  for (const info of infos) findings.push(...server(factsOf(info), replicas))
  findings.push(...(await clocks(client)), await rights(backend))
  return findings
}

function server(facts: Facts, replicas: number): Finding[] {
  return [version(facts), eviction(facts), persistence(facts), replication(facts, replicas)]
}

function version(facts: Facts): Finding {
  const text = facts.get('valkey_version') ?? facts.get('redis_version') ?? 'unknown'
  return Number.parseInt(text, 10) >= OLDEST_MAJOR
    ? ok('version', `version ${text}`)
    : advice('version', `version ${text}: before 7.0, nothing can be renewed or released while the memory is full`)
}

function eviction(facts: Facts): Finding {
  const policy = facts.get('maxmemory_policy') ?? 'unknown'
  if (policy === 'noeviction') return ok('eviction', 'a full memory refuses new entries and evicts none')
  const text = `maxmemory-policy is ${policy}: a full memory may evict a lock that is held; set it to noeviction`
  return facts.get('maxmemory') === '0'
    ? advice('eviction', `${text} before a maxmemory is set`)
    : error('eviction', text)
}

function persistence(facts: Facts): Finding {
  if (facts.get('aof_enabled') === '1')
    return ok(
      'persistence',
      'it writes a log; with appendfsync everysec a power failure loses up to two seconds of grants',
    )
  return advice(
    'persistence',
    'nothing is written as it happens: after a restart of the server a name that is held can be granted once more; fences go on growing',
  )
}

function replication(facts: Facts, asked: number): Finding {
  const there = Number(facts.get('connected_slaves') ?? 0)
  if (facts.get('role') === 'slave')
    return error('replication', 'this is a replica: it grants nothing; connect to the primary')
  if (there < asked)
    return error('replication', `replicas is ${asked}, but there are ${there}: nothing is granted, nothing renewed`)
  if (there === 0) return ok('replication', 'no replicas: nothing takes over, and nothing is lost by a failover')
  if (asked === 0)
    return advice(
      'replication',
      `there are ${there} replicas, which follow late: a failover can lose a grant, and the name is granted once more; with replicas: ${there} a grant counts only when all of them have it`,
    )
  if (asked < there)
    return advice(
      'replication',
      `a grant counts when ${asked} of ${there} replicas have it: a failover to another one can lose it, and the name is granted once more`,
    )
  return ok('replication', `a grant counts when all ${there} replicas have it`)
}

async function clocks(client: Client): Promise<Finding[]> {
  const before = realRuntime.wallMs()
  const times = (await client.everywhere('TIME')) as (readonly [string, string])[]
  const here = (before + realRuntime.wallMs()) / 2
  return times.map(([seconds, micros]) => {
    const offMs = Number(seconds) * 1000 + Number(micros) / 1000 - here
    const text = `its clock is ${Math.abs(offMs).toFixed(0)} ms ${offMs < 0 ? 'behind' : 'ahead of'} the one here`
    return Math.abs(offMs) > CLOCK_OFF_MS
      ? advice('clock', `${text}; leases do not mind, but servers that may take over must agree, or fences can go back`)
      : ok('clock', text)
  })
}

function factsOf(info: string): Facts {
  const lines = info.split('\r\n').map((line) => line.split(':', 2) as [string, string])
  return new Map(lines)
}
