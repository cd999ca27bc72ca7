/** The errors of etcd, by the codes of gRPC, and in the words of the contract. */
import type { BackendErrorCode } from '../../backend.ts'
import { BackendError } from '../../backend.ts'

/** https://grpc.io/docs/guides/status-codes/ */
export const GRPC = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const

/** `unavailable` also stands for everything of which nobody knows whether it was carried out. */
export class EtcdError extends Error {
  override readonly name = 'EtcdError'
  readonly grpc: number

  constructor(grpc: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.grpc = grpc
  }
}

/** Nobody knows whether it was carried out. */
export function isUnknown(error: unknown): boolean {
  return error instanceof EtcdError && (error.grpc === GRPC.unavailable || error.grpc === GRPC.deadlineExceeded)
}

/** Asked again, it may be carried out. */
export function mayPass(error: unknown): boolean {
  return isUnknown(error) || (error instanceof EtcdError && /too many requests/.test(error.message))
}

const CODES = new Map<number, readonly [code: BackendErrorCode, text: string]>([
  [GRPC.permissionDenied, ['DENIED', 'it refuses this user']],
  [GRPC.unauthenticated, ['DENIED', 'it does not know this user']],
  // That is how a wrong password is told.
  [GRPC.invalidArgument, ['DENIED', 'it does not take what it was sent']],
  [GRPC.resourceExhausted, ['STORE_FULL', 'it takes nothing new']],
])

/** An error of the client as one of the contract; our own pass through. Anything that may pass is `UNAVAILABLE`. */
export function etcdError(cause: unknown): BackendError {
  if (cause instanceof BackendError) return cause
  const said = cause instanceof Error ? cause.message : String(cause)
  const known = cause instanceof EtcdError && !mayPass(cause) ? CODES.get(cause.grpc) : undefined
  const [code, text] = known ?? (['UNAVAILABLE', undefined] as const)
  return new BackendError(code, `etcd: ${text === undefined ? said : `${text}: ${said}`}`, { cause })
}
