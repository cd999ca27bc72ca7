/** The errors of etcd, by the codes of gRPC. */

/** https://grpc.io/docs/guides/status-codes/ */
export const GRPC = {
  invalidArgument: 3,
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
