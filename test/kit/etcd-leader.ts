/** Which member of etcd leads, as the members say. */
import type { EtcdClient } from '../../src/backends/etcd/index.ts'
import { STATUS } from '../../src/backends/etcd/messages.ts'
import { eventually } from '../../src/verify/torture/clock.ts'
import type { Etcd } from './etcd.ts'

/** The place of the one that leads; waits until there is one. */
export async function leaderOf(etcd: Etcd, admin: EtcdClient): Promise<number> {
  let leader = -1
  await eventually(async () => (leader = await leaderNow(etcd, admin)) >= 0, 'a leader')
  return leader
}

async function leaderNow({ members }: Etcd, admin: EtcdClient): Promise<number> {
  const says = await Promise.all(
    members.map(async ({ endpoint }, index) => {
      const client = admin.of(endpoint)
      try {
        const { header, leader } = await client.call(STATUS, {})
        return header!.memberId === leader ? index : -1
      } catch {
        return -1
      } finally {
        client.close()
      }
    }),
  )
  return says.findLast((place) => place >= 0) ?? -1
}
