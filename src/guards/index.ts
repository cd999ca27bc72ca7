/**
 * Guards: the resource's half of a fence. They let a holder in that is not too late, and refuse it otherwise, on reads as
 * well as on writes.
 */
export { etcdCondition } from './etcd.ts'
export type { EtcdCondition } from './etcd.ts'
export { RedisGuard, redisGuard } from './redis.ts'
export type { GuardedScript, RedisGuardOptions, RedisScriptInput, RedisValue } from './redis.ts'
export { SqlGuard, sqlGuard } from './sql.ts'
export type { SqlDialect, SqlGuardOptions, SqlQuery, SqlRows } from './sql.ts'
export { HttpGuard, fenceHeaders, fencedFetch, httpGuard } from './http.ts'
export type { FenceHeaders, FenceStore, HttpGuardOptions, NameOf } from './http.ts'
export type { Holder } from './rule.ts'
