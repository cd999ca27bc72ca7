/** Taking nodes back, and what people are told of them, by what each node knows of itself. `quorum.test.ts` has real nodes. */
import { expect, test } from 'vitest'
import type { Finding } from '../../src/backend.ts'
import { diagnose } from '../../src/quorum/diagnose.ts'
import { heal } from '../../src/quorum/heal.ts'
import type { Memory, Node } from '../../src/quorum/node.ts'
import { Member } from '../../src/quorum/poll.ts'
import { realRuntime } from '../../src/runtime.ts'

const sure = (incarnation: string, top: bigint): Memory => ({ incarnation, top, quarantineMs: undefined })
const waiting = (incarnation: string, top = 0n): Memory => ({ incarnation, top, quarantineMs: 0 })

/** Nodes that know this of themselves, one answer after the other; without an answer they are away. The first is to be healed. */
async function healed(most: number, ...nodes: (readonly Memory[] | undefined)[]): Promise<unknown> {
  const admitted: unknown[] = []
  const asked = new Map<Member, number>()
  const answers = new Map<Member, readonly Memory[]>()
  const members = nodes.map((memories, index) => {
    const admit = async (...words: unknown[]): Promise<boolean> => admitted.push(words) > 0
    const member = new Member({ admit } as Partial<Node> as Node, `node ${index}`, realRuntime)
    if (memories) answers.set(member, memories)
    return member
  })
  const recall = async (member: Member): Promise<Memory> => {
    const memories = answers.get(member)
    if (!memories) throw new Error('away')
    const times = asked.get(member) ?? 0
    asked.set(member, times + 1)
    return memories[Math.min(times, memories.length - 1)]!
  }
  await heal(members[0]!, members, most, recall)
  return admitted.length === 0 ? undefined : admitted
}

test('a node that has waited is taken back with the largest fence that enough of the others know', async () => {
  expect(await healed(2, [waiting('a')], [sure('b', 7n)], [sure('c', 9n)])).toEqual([['a', 9n]])
  expect(await healed(2, [waiting('a')], [sure('b', 9n)], [sure('c', 7n)])).toEqual([['a', 9n]])
  // What it knows itself it need not be told.
  expect(await healed(2, [waiting('a', 99n)], [sure('b', 7n)], [sure('c', 9n)])).toEqual([['a', 9n]])
  // Three of the other four are enough, where three decide.
  const others = [[sure('b', 7n)], [sure('c', 9n)], [sure('d', 8n)]]
  expect(await healed(3, [waiting('a')], ...others, undefined)).toEqual([['a', 9n]])
  // One that waits itself may know a larger one.
  expect(await healed(3, [waiting('a')], ...others, [waiting('e', 12n)])).toEqual([['a', 12n]])
})

test('a node that grants, or still has to wait, is left as it is', async () => {
  expect(await healed(2, [sure('a', 1n)], [sure('b', 7n)], [sure('c', 9n)])).toBe(undefined)
  const early = { incarnation: 'a', top: 0n, quarantineMs: 5 }
  expect(await healed(2, [early], [sure('b', 7n)], [sure('c', 9n)])).toBe(undefined)
  await expect(healed(2, undefined, [sure('b', 7n)], [sure('c', 9n)])).rejects.toThrow('away')
})

test('where too few are sure all must answer, and none may have forgotten in between', async () => {
  expect(await healed(2, [waiting('a')], [sure('b', 7n)], undefined)).toBe(undefined)
  expect(await healed(2, [waiting('a')], undefined, undefined)).toBe(undefined)
  expect(await healed(2, [waiting('a')], [sure('b', 7n)], [waiting('c', 9n)])).toEqual([['a', 9n]])
  expect(await healed(2, [waiting('a')], [waiting('b', 7n)], [waiting('c', 9n)])).toEqual([['a', 9n]])
  expect(await healed(2, [waiting('a')], [waiting('b'), waiting('d')], [waiting('c')])).toBe(undefined)
  expect(await healed(2, [waiting('ab')], [waiting('bc'), waiting('b')], [waiting('c'), waiting('cc')])).toBe(undefined)
})

/** What is told of nodes that know this of themselves; without an answer they are away. */
async function told(most: number, ...nodes: (Memory | undefined)[]): Promise<string[]> {
  const finding: Finding = { level: 'ok', subject: 'version', text: 'fine' }
  const node = { diagnose: async () => [finding] } as Partial<Node> as Node
  const members = nodes.map((_, index) => new Member(node, `n${index + 1}`, realRuntime))
  const findings = await diagnose(members, most, 30_000, async (member) => {
    const memory = nodes[members.indexOf(member)]
    if (!memory) throw new Error('away')
    return memory
  })
  return findings.map(({ level, subject, text }) => `${level} ${subject}: ${text}`)
}

const [a, b, c] = [sure('a', 0n), sure('b', 0n), sure('c', 0n)]

test('a healthy quorum is said to be one, and each node is asked for what it finds itself', async () => {
  expect(await told(2, a, b, c)).toEqual([
    'ok size: 3 nodes, of which 2 decide: 1 may be gone',
    'ok reachability: all nodes answer',
    'ok n1: version: fine',
    'ok n2: version: fine',
    'ok n3: version: fine',
  ])
})

test('a size that buys nothing is advised against', async () => {
  const size = async (...words: Parameters<typeof told>) => (await told(...words))[0]
  const advice = '; take an odd number of three or more'
  expect(await size(1, a)).toBe(`advice size: 1 nodes, of which 1 decide: 0 may be gone${advice}`)
  expect(await size(2, a, b)).toBe(`advice size: 2 nodes, of which 2 decide: 0 may be gone${advice}`)
  expect(await size(3, a, b, c, sure('d', 0n))).toBe(`advice size: 4 nodes, of which 3 decide: 1 may be gone${advice}`)
})

test('nodes that are away are named, and it is said whether the others decide', async () => {
  expect((await told(2, a, undefined, c)).slice(1)).toEqual([
    'advice reachability: no answer from n2: the others decide, with fewer to spare',
    'ok n1: version: fine',
    'ok n3: version: fine',
  ])
  expect((await told(2, undefined, undefined, c))[1]).toBe(
    'error reachability: no answer from n1, n2: nothing can be granted',
  )
})

test('one server under two labels, and what waits until it may grant, are told', async () => {
  const later = { incarnation: 'q', top: 0n, quarantineMs: 2400 }
  const findings = await told(3, a, a, later, waiting('r'), b)
  expect(findings.slice(2, 5)).toEqual([
    'error independence: n1 and n2 are the same server: two holders are possible',
    'advice n3: quarantine: it has forgotten what it granted, or is new, and grants nothing for 2 s more (of 30 s)',
    'advice n4: quarantine: it has forgotten what it granted, or is new, and grants nothing until the next acquisition (of 30 s)',
  ])
  expect(findings[5]).toBe('ok n1: version: fine')
})
