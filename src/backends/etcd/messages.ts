/**
 * What is said to etcd and what it answers: its messages, with the fields that are used here.
 *
 * Names and numbers: `api/etcdserverpb/rpc.proto`, `api/mvccpb/kv.proto` and `api/authpb/auth.proto` of etcd 3.4, 3.5 and 3.6.
 */
import { Message } from './proto.ts'

/** Of what every answer begins with: who answers is skipped, for reading two ids of 64 bits takes longer than all the rest. */
export interface ResponseHeader {
  readonly revision: number
}

const HEADER: Message<ResponseHeader> = new Message<ResponseHeader>({ revision: [3, 'int'] })

/** Where that is asked for. */
export interface MemberHeader extends ResponseHeader {
  readonly clusterId: bigint
  readonly memberId: bigint
}

const MEMBER_HEADER: Message<MemberHeader> = new Message<MemberHeader>({
  clusterId: [1, 'id'],
  memberId: [2, 'id'],
  revision: [3, 'int'],
})

export interface KeyValue {
  readonly key: Buffer
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  readonly value: Buffer
  readonly lease: bigint
}

const KEY_VALUE: Message<KeyValue> = new Message<KeyValue>({
  key: [1, 'bytes'],
  createRevision: [2, 'int'],
  modRevision: [3, 'int'],
  version: [4, 'int'],
  value: [5, 'bytes'],
  lease: [6, 'id'],
})

export const ORDER = { none: 0, ascending: 1, descending: 2 } as const
export const BY = { key: 0, version: 1, create: 2, modified: 3, value: 4 } as const

export interface RangeRequest {
  readonly key: Buffer
  /** Behind the last key; without it, the one key. */
  readonly rangeEnd: Buffer
  readonly limit: number
  readonly order: number
  readonly by: number
  readonly keysOnly: boolean
  readonly countOnly: boolean
  readonly maxCreateRevision: number
}

const RANGE_REQUEST: Message<RangeRequest> = new Message<RangeRequest>({
  key: [1, 'bytes'],
  rangeEnd: [2, 'bytes'],
  limit: [3, 'int'],
  order: [5, 'int'],
  by: [6, 'int'],
  keysOnly: [8, 'bool'],
  countOnly: [9, 'bool'],
  maxCreateRevision: [13, 'int'],
})

export interface RangeResponse {
  readonly header?: ResponseHeader
  readonly kvs: readonly KeyValue[]
  readonly more: boolean
  readonly count: number
}

const RANGE_RESPONSE: Message<RangeResponse> = new Message<RangeResponse>({
  header: [1, HEADER],
  kvs: [2, KEY_VALUE, 'many'],
  more: [3, 'bool'],
  count: [4, 'int'],
})

export interface PutRequest {
  readonly key: Buffer
  readonly value: Buffer
  readonly lease: bigint
  /** Keep the value, or the lease, that the key has; there must be such a key. */
  readonly ignoreValue: boolean
  readonly ignoreLease: boolean
}

const PUT_REQUEST: Message<PutRequest> = new Message<PutRequest>({
  key: [1, 'bytes'],
  value: [2, 'bytes'],
  lease: [3, 'id'],
  ignoreValue: [5, 'bool'],
  ignoreLease: [6, 'bool'],
})

export interface PutResponse {
  readonly header?: ResponseHeader
}

const PUT_RESPONSE: Message<PutResponse> = new Message<PutResponse>({ header: [1, HEADER] })

export interface DeleteRequest {
  readonly key: Buffer
  readonly rangeEnd: Buffer
}

const DELETE_REQUEST: Message<DeleteRequest> = new Message<DeleteRequest>({ key: [1, 'bytes'], rangeEnd: [2, 'bytes'] })

export interface DeleteResponse {
  readonly header?: ResponseHeader
  readonly deleted: number
}

const DELETE_RESPONSE: Message<DeleteResponse> = new Message<DeleteResponse>({
  header: [1, HEADER],
  deleted: [2, 'int'],
})

export const IS = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const
export const OF = { version: 0, create: 1, modified: 2, value: 3, lease: 4 } as const

/** A condition on a key, or on all keys of a range. */
export interface Compare {
  readonly is: number
  readonly of: number
  readonly key: Buffer
  readonly rangeEnd: Buffer
  readonly version: number
  readonly createRevision: number
  readonly modRevision: number
  readonly value: Buffer
  readonly lease: bigint
}

const COMPARE: Message<Compare> = new Message<Compare>({
  is: [1, 'int'],
  of: [2, 'int'],
  key: [3, 'bytes'],
  version: [4, 'int'],
  createRevision: [5, 'int'],
  modRevision: [6, 'int'],
  value: [7, 'bytes'],
  lease: [8, 'id'],
  rangeEnd: [64, 'bytes'],
})

/** One of these. */
export interface Operation {
  readonly range?: Partial<RangeRequest>
  readonly put?: Partial<PutRequest>
  readonly delete?: Partial<DeleteRequest>
  readonly transaction?: Partial<Transaction>
}

export interface Transaction {
  readonly compare: readonly Partial<Compare>[]
  readonly success: readonly Operation[]
  readonly failure: readonly Operation[]
}

export interface Outcome {
  readonly range?: RangeResponse
  readonly put?: PutResponse
  readonly delete?: DeleteResponse
  readonly transaction?: TransactionResponse
}

export interface TransactionResponse {
  readonly header?: ResponseHeader
  readonly succeeded: boolean
  readonly outcomes: readonly Outcome[]
}

const OPERATION: Message<Operation> = new Message<Operation>({
  range: [1, RANGE_REQUEST],
  put: [2, PUT_REQUEST],
  delete: [3, DELETE_REQUEST],
  transaction: [4, () => TRANSACTION],
})

const TRANSACTION: Message<Transaction> = new Message<Transaction>({
  compare: [1, COMPARE, 'many'],
  success: [2, OPERATION, 'many'],
  failure: [3, OPERATION, 'many'],
})

const OUTCOME: Message<Outcome> = new Message<Outcome>({
  range: [1, RANGE_RESPONSE],
  put: [2, PUT_RESPONSE],
  delete: [3, DELETE_RESPONSE],
  transaction: [4, () => TRANSACTION_RESPONSE],
})

const TRANSACTION_RESPONSE: Message<TransactionResponse> = new Message<TransactionResponse>({
  header: [1, HEADER],
  succeeded: [2, 'bool'],
  outcomes: [3, OUTCOME, 'many'],
})

export interface CompactRequest {
  readonly revision: number
  readonly physical: boolean
}

export interface LeaseGrantRequest {
  readonly ttl: number
  readonly id: bigint
}

export interface LeaseGrantResponse {
  readonly header?: ResponseHeader
  readonly id: bigint
  /** In seconds; may be more than was asked for. */
  readonly ttl: number
  readonly error: string
}

export interface LeaseRequest {
  readonly id: bigint
}

export interface LeaseKeepAliveResponse {
  readonly header?: ResponseHeader
  readonly id: bigint
  /** In seconds; 0 or less when the lease is gone. */
  readonly ttl: number
}

export interface LeaseTimeToLiveRequest {
  readonly id: bigint
  readonly keys: boolean
}

export interface LeaseTimeToLiveResponse {
  readonly header?: ResponseHeader
  readonly id: bigint
  readonly ttl: number
  readonly grantedTtl: number
  readonly keys: readonly Buffer[]
}

export interface WatchCreate {
  readonly key: Buffer
  readonly rangeEnd: Buffer
  readonly startRevision: number
  readonly progressNotify: boolean
  /** What is not told: puts are 0, deletions are 1. */
  readonly filters: readonly number[]
  readonly previous: boolean
  readonly watchId: number
}

/** One of these. */
export interface WatchRequest {
  readonly create?: Partial<WatchCreate>
  readonly cancel?: { readonly watchId: number }
  readonly progress?: object
}

export const EVENT = { put: 0, delete: 1 } as const

export interface WatchEvent {
  readonly type: number
  readonly kv?: KeyValue
  readonly previous?: KeyValue
}

export interface WatchResponse {
  readonly header?: ResponseHeader
  readonly watchId: number
  readonly created: boolean
  readonly canceled: boolean
  readonly compactRevision: number
  readonly cancelReason: string
  readonly events: readonly WatchEvent[]
}

export interface StatusResponse {
  readonly header?: MemberHeader
  readonly version: string
  readonly dbSize: number
  readonly leader: bigint
  readonly raftIndex: number
  readonly raftTerm: number
  readonly errors: readonly string[]
  readonly dbSizeInUse: number
}

export interface Member {
  readonly id: bigint
  readonly name: string
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
}

export interface MembersResponse {
  readonly header?: ResponseHeader
  readonly members: readonly Member[]
}

export interface AuthenticateRequest {
  readonly name: string
  readonly password: string
}

export interface AuthenticateResponse {
  readonly header?: ResponseHeader
  readonly token: string
}

/** A method of a service: what is sent and what is answered, once or as streams. */
export interface Method<Q, A> {
  readonly path: string
  readonly request: Message<Q>
  readonly response: Message<A>
}

const NOTHING: Message<object> = new Message<object>({})
const LEASE_REQUEST: Message<LeaseRequest> = new Message<LeaseRequest>({ id: [1, 'id'] })
const JUST_HEADER: Message<PutResponse> = PUT_RESPONSE

const WATCH_EVENT: Message<WatchEvent> = new Message<WatchEvent>({
  type: [1, 'int'],
  kv: [2, KEY_VALUE],
  previous: [3, KEY_VALUE],
})
const WATCH_CREATE: Message<WatchCreate> = new Message<WatchCreate>({
  key: [1, 'bytes'],
  rangeEnd: [2, 'bytes'],
  startRevision: [3, 'int'],
  progressNotify: [4, 'bool'],
  filters: [5, 'int', 'many'],
  previous: [6, 'bool'],
  watchId: [7, 'int'],
})
const MEMBER: Message<Member> = new Message<Member>({
  id: [1, 'id'],
  name: [2, 'text'],
  peerUrls: [3, 'text', 'many'],
  clientUrls: [4, 'text', 'many'],
})

export const RANGE: Method<RangeRequest, RangeResponse> = {
  path: '/etcdserverpb.KV/Range',
  request: RANGE_REQUEST,
  response: RANGE_RESPONSE,
}
export const PUT: Method<PutRequest, PutResponse> = {
  path: '/etcdserverpb.KV/Put',
  request: PUT_REQUEST,
  response: PUT_RESPONSE,
}
export const DELETE: Method<DeleteRequest, DeleteResponse> = {
  path: '/etcdserverpb.KV/DeleteRange',
  request: DELETE_REQUEST,
  response: DELETE_RESPONSE,
}
export const TXN: Method<Transaction, TransactionResponse> = {
  path: '/etcdserverpb.KV/Txn',
  request: TRANSACTION,
  response: TRANSACTION_RESPONSE,
}
export const COMPACT: Method<CompactRequest, PutResponse> = {
  path: '/etcdserverpb.KV/Compact',
  request: new Message<CompactRequest>({ revision: [1, 'int'], physical: [2, 'bool'] }),
  response: JUST_HEADER,
}
export const LEASE_GRANT: Method<LeaseGrantRequest, LeaseGrantResponse> = {
  path: '/etcdserverpb.Lease/LeaseGrant',
  request: new Message<LeaseGrantRequest>({ ttl: [1, 'int'], id: [2, 'id'] }),
  response: new Message<LeaseGrantResponse>({
    header: [1, HEADER],
    id: [2, 'id'],
    ttl: [3, 'int'],
    error: [4, 'text'],
  }),
}
export const LEASE_REVOKE: Method<LeaseRequest, PutResponse> = {
  path: '/etcdserverpb.Lease/LeaseRevoke',
  request: LEASE_REQUEST,
  response: JUST_HEADER,
}
export const LEASE_KEEP_ALIVE: Method<LeaseRequest, LeaseKeepAliveResponse> = {
  path: '/etcdserverpb.Lease/LeaseKeepAlive',
  request: LEASE_REQUEST,
  response: new Message<LeaseKeepAliveResponse>({ header: [1, HEADER], id: [2, 'id'], ttl: [3, 'int'] }),
}
export const LEASE_TIME_TO_LIVE: Method<LeaseTimeToLiveRequest, LeaseTimeToLiveResponse> = {
  path: '/etcdserverpb.Lease/LeaseTimeToLive',
  request: new Message<LeaseTimeToLiveRequest>({ id: [1, 'id'], keys: [2, 'bool'] }),
  response: new Message<LeaseTimeToLiveResponse>({
    header: [1, HEADER],
    id: [2, 'id'],
    ttl: [3, 'int'],
    grantedTtl: [4, 'int'],
    keys: [5, 'bytes', 'many'],
  }),
}
export const WATCH: Method<WatchRequest, WatchResponse> = {
  path: '/etcdserverpb.Watch/Watch',
  request: new Message<WatchRequest>({
    create: [1, WATCH_CREATE],
    cancel: [2, new Message<{ readonly watchId: number }>({ watchId: [1, 'int'] })],
    progress: [3, NOTHING],
  }),
  response: new Message<WatchResponse>({
    header: [1, HEADER],
    watchId: [2, 'int'],
    created: [3, 'bool'],
    canceled: [4, 'bool'],
    compactRevision: [5, 'int'],
    cancelReason: [6, 'text'],
    events: [11, WATCH_EVENT, 'many'],
  }),
}
export const STATUS: Method<object, StatusResponse> = {
  path: '/etcdserverpb.Maintenance/Status',
  request: NOTHING,
  response: new Message<StatusResponse>({
    header: [1, MEMBER_HEADER],
    version: [2, 'text'],
    dbSize: [3, 'int'],
    leader: [4, 'id'],
    raftIndex: [5, 'int'],
    raftTerm: [6, 'int'],
    errors: [8, 'text', 'many'],
    dbSizeInUse: [9, 'int'],
  }),
}
export const MEMBERS: Method<object, MembersResponse> = {
  path: '/etcdserverpb.Cluster/MemberList',
  request: NOTHING,
  response: new Message<MembersResponse>({ header: [1, HEADER], members: [2, MEMBER, 'many'] }),
}
export const AUTHENTICATE: Method<AuthenticateRequest, AuthenticateResponse> = {
  path: '/etcdserverpb.Auth/Authenticate',
  request: new Message<AuthenticateRequest>({ name: [1, 'text'], password: [2, 'text'] }),
  response: new Message<AuthenticateResponse>({ header: [1, HEADER], token: [2, 'text'] }),
}
