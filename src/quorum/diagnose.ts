/** What the nodes are like, one by one and together, and what that means for the guarantees. */
import type { Finding } from '../backend.ts'
import type { Memory } from './node.ts'
import type { Member } from './poll.ts'

export async function diagnose(
  members: readonly Member[],
  most: number,
  longestMs: number,
  recall: (member: Member) => Promise<Memory>,
): Promise<Finding[]> {
  const memories = await Promise.allSettled(members.map(recall))
  const known = new Map<Member, Memory>()
  for (const [index, memory] of memories.entries())
    if (memory.status === 'fulfilled') known.set(members[index]!, memory.value)
  const findings = [size(members.length, most), reachability(members, known, most)]
  findings.push(...strangers(known), ...quarantines(known, longestMs))
  for (const member of known.keys()) {
    for (const { level, subject, text } of await member.node.diagnose())
      findings.push({ level, subject: `${member.label}: ${subject}`, text })
  }
  return findings
}

function size(count: number, most: number): Finding {
  const text = `${count} nodes, of which ${most} decide: ${count - most} may be gone`
  return count < 3 || count % 2 === 0
    ? { level: 'advice', subject: 'size', text: `${text}; take an odd number of three or more` }
    : { level: 'ok', subject: 'size', text }
}

function reachability(members: readonly Member[], known: ReadonlyMap<Member, Memory>, most: number): Finding {
  const away = members.filter((member) => !known.has(member)).map(({ label }) => label)
  if (away.length === 0) return { level: 'ok', subject: 'reachability', text: 'all nodes answer' }
  const text = `no answer from ${away.join(', ')}`
  return known.size >= most
    ? { level: 'advice', subject: 'reachability', text: `${text}: the others decide, with fewer to spare` }
    : { level: 'error', subject: 'reachability', text: `${text}: nothing can be granted` }
}

/** One server that is counted twice is a majority of itself. */
function strangers(known: ReadonlyMap<Member, Memory>): Finding[] {
  const labels = new Map<string, string[]>()
  for (const [{ label }, { incarnation }] of known) labels.set(incarnation, [...(labels.get(incarnation) ?? []), label])
  return [...labels.values()]
    .filter((same) => same.length > 1)
    .map((same) => ({
      level: 'error',
      subject: 'independence',
      text: `${same.join(' and ')} are the same server: two holders are possible`,
    }))
}

function quarantines(known: ReadonlyMap<Member, Memory>, longestMs: number): Finding[] {
  return [...known].flatMap(([{ label }, { quarantineMs }]): Finding[] => {
    if (quarantineMs === undefined) return []
    const wait = quarantineMs > 0 ? `for ${(quarantineMs / 1000).toFixed(0)} s more` : 'until the next acquisition'
    const text = `it has forgotten what it granted, or is new, and grants nothing ${wait} (of ${longestMs / 1000} s)`
    return [{ level: 'advice', subject: `${label}: quarantine`, text }]
  })
}
