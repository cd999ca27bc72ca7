/**
 * A guard in etcd: data and lock in one store, and the condition that the lease is still held in the transaction that writes.
 *
 * The key of an entry is made with it and deleted with it, at a revision that is its fence. Nobody moves up in front of a
 * holder, so as long as the key is there with that revision, it holds; no clock is asked.
 */
import { ArgumentTypeError, NotSupportedError } from '../core/errors.ts'
import type { InnerLease, Lease } from '../core/lease.ts'

/** The key was made at this revision, and is there. */
export interface EtcdCondition {
  readonly key: string
  readonly createRevision: bigint
}

/**
 * What must be true in a transaction of etcd for it to write: "only if I still hold".
 *
 * With the client that `holdfast/etcd` exports it goes into `if` of `transaction`; with `etcd3` it is
 * `client.if(key, 'Create', '==', String(createRevision))`; in Go `clientv3.Compare(clientv3.CreateRevision(key), "=", rev)`.
 *
 * @param lease held on etcd
 * @throws NotSupportedError if it is held elsewhere, or on several names; ArgumentTypeError; LeaseLostError
 * @example
 * ```ts
 * import { connect } from 'holdfast'
 * import { EtcdClient, etcd } from 'holdfast/etcd'
 * import { etcdCondition } from 'holdfast/guards'
 *
 * const client = new EtcdClient({ endpoints: ['http://127.0.0.1:2379'] })
 * const locks = connect(etcd(client))
 * await locks.run('account:7', async (lease) => {
 *   const { succeeded } = await client.transaction({
 *     if: [etcdCondition(lease)],
 *     do: [{ put: 'balance:7', value: '70' }],
 *   })
 *   if (!succeeded) throw new Error('somebody else holds account:7 by now')
 * })
 * await locks.close()
 * client.close()
 * ```
 */
export function etcdCondition(lease: Lease): EtcdCondition {
  const { core } = lease as Partial<InnerLease>
  if (!core) throw new ArgumentTypeError('etcdCondition takes a lease on one name')
  core.assertHeld()
  const { key } = core
  if (key === undefined) throw new NotSupportedError(lease.name, `"${lease.name}" is not held on etcd`)
  return { key, createRevision: lease.fence }
}
