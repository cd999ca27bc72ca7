/**
 * One connection to one member of etcd: gRPC over `node:http2`, calls and streams.
 *
 * Chosen by trial (`docs/backends/etcd.md`). No pings: etcd takes more than a few as an attack and hangs up. Instead, a call
 * that is not answered in time ends the connection, since nobody knows what else of it is dead.
 */
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, SecureClientSessionOptions } from 'node:http2'
import { connect, constants } from 'node:http2'
import { realRuntime } from '../../runtime.ts'
import { EtcdError, GRPC } from './errors.ts'
import type { Method } from './messages.ts'

/** What secures a connection: for TLS, as `node:tls` takes it. */
export type Security = Pick<SecureClientSessionOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'>

const PREFIX_BYTES = 5

export interface Metadata {
  /** Of a user, as the server gave it out. */
  readonly token?: string | undefined
  /** A member without a leader ends the stream, in place of going silent. */
  readonly needsLeader?: boolean
}

/** A stream that stands. */
export interface Stream<Q> {
  send(request: Partial<Q>): void
  /** Nothing is heard of it any more. */
  end(): void
}

export interface StreamEvents<A> {
  message(response: A): void
  /** It is over, and not because we ended it. */
  ended(error: EtcdError): void
}

export class Channel {
  readonly endpoint: string
  readonly #session: ClientHttp2Session
  readonly #ready: Promise<void>
  /** Calls and streams that keep the process alive. */
  #busy = 0
  #error: Error | undefined

  /** @param endpoint `http://host:port` or `https://host:port` */
  constructor(endpoint: string, security: Security, connectMs: number) {
    this.endpoint = endpoint
    this.#session = connect(endpoint, security)
    this.#session.unref()
    this.#ready = new Promise((resolve, reject) => {
      const late = (): void => this.end(new Error(`no connection within ${connectMs} ms`))
      const limit = realRuntime.after(connectMs, late)
      this.#session.once('connect', () => {
        limit.cancel()
        resolve()
      })
      this.#session.once('close', () => {
        limit.cancel()
        reject(this.#error ?? new Error('the connection was closed'))
      })
    })
    this.#ready.catch(() => {})
    this.#session.on('error', (error: Error) => (this.#error ??= error))
    // The server will take no more of us, but answers what is on its way.
    this.#session.on('goaway', () => this.#session.close())
  }

  get usable(): boolean {
    return !this.#session.closed && !this.#session.destroyed
  }

  /** Resolves when it stands. @throws Error why it does not; then nothing was sent */
  get ready(): Promise<void> {
    return this.#ready
  }

  /** @throws EtcdError what the server says, or that it is not known what became of the call */
  async call<Q, A>(
    { path, request, response }: Method<Q, A>,
    message: Partial<Q>,
    timeoutMs: number,
    metadata: Metadata = {},
  ): Promise<A> {
    await this.#hold(this.#ready)
    return this.#hold(
      new Promise<A>((resolve, reject) => {
        let answer: A | undefined
        const stream = this.#open(path, metadata, {
          message: (bytes) => (answer = response.decode(bytes)),
          ended: (error) => {
            limit.cancel()
            if (error) reject(error)
            else if (answer === undefined) reject(new EtcdError(GRPC.internal, `${path}: no answer in an answer`))
            else resolve(answer)
          },
        })
        const limit = realRuntime.after(timeoutMs, () => {
          const late = new EtcdError(GRPC.unavailable, `${this.endpoint} did not answer within ${timeoutMs} ms`)
          reject(late)
          this.end(late)
        })
        stream.end(framed(request.encode(message, PREFIX_BYTES)))
      }),
    )
  }

  /** A stream of messages in both directions. It does not keep the process alive. @throws EtcdError `unavailable` */
  stream<Q, A>({ path, request, response }: Method<Q, A>, events: StreamEvents<A>, metadata: Metadata = {}): Stream<Q> {
    let over = false
    const stream = this.#open(path, metadata, {
      message: (bytes) => {
        if (!over) events.message(response.decode(bytes))
      },
      ended: (error) => {
        if (over) return
        over = true
        events.ended(error ?? new EtcdError(GRPC.unavailable, `${path}: ${this.endpoint} ended the stream`))
      },
    })
    return {
      send: (message) => {
        if (!over) stream.write(framed(request.encode(message, PREFIX_BYTES)))
      },
      end: () => {
        over = true
        stream.close(constants.NGHTTP2_CANCEL)
      },
    }
  }

  /** What is on its way is not answered. */
  end(error: Error = new Error('the connection was ended')): void {
    this.#error ??= error
    this.#session.destroy()
  }

  #open(
    path: string,
    { token, needsLeader }: Metadata,
    events: { message: (bytes: Buffer) => void; ended: (error: EtcdError | undefined) => void },
  ): ClientHttp2Stream {
    if (!this.usable) throw this.#errorOf(path, {}, new Error('the connection was closed'))!
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': path,
      te: 'trailers',
      'content-type': 'application/grpc',
      ...(token === undefined ? {} : { token }),
      ...(needsLeader ? { hasleader: 'true' } : {}),
    })
    let status: IncomingHttpHeaders = {}
    let failure: Error | undefined
    const frames = new Frames(events.message)
    // The status comes with the headers where there is no body, and otherwise behind it.
    stream.on('response', (headers) => (status = headers))
    stream.on('trailers', (trailers) => (status = trailers))
    stream.on('data', (bytes: Buffer) => {
      try {
        frames.take(bytes)
      } catch (error) {
        stream.destroy(error as Error)
      }
    })
    stream.on('error', (error: Error) => (failure = error))
    stream.on('close', () => events.ended(this.#errorOf(path, status, failure)))
    return stream
  }

  #errorOf(path: string, status: IncomingHttpHeaders, failure: Error | undefined): EtcdError | undefined {
    const { 'grpc-status': code, 'grpc-message': text, ':status': http } = status
    if (code === '0') return undefined
    if (code !== undefined) return new EtcdError(Number(code), decodeURIComponent(String(text ?? '')))
    const why =
      failure?.message ?? this.#error?.message ?? (http === undefined ? 'no answer' : `HTTP status ${String(http)}`)
    return new EtcdError(GRPC.unavailable, `${path}: ${this.endpoint}: ${why}`)
  }

  async #hold<T>(work: Promise<T>): Promise<T> {
    this.#busy += 1
    if (this.#busy === 1 && this.usable) this.#session.ref()
    try {
      return await work
    } finally {
      this.#busy -= 1
      if (this.#busy === 0 && this.usable) this.#session.unref()
    }
  }
}

/** A message, in front of which there is room for a byte that says that it is not compressed, and its length. */
function framed(frame: Buffer): Buffer {
  frame[0] = 0
  frame.writeUInt32BE(frame.length - PREFIX_BYTES, 1)
  return frame
}

/** Puts together what came in pieces. */
class Frames {
  readonly #message: (bytes: Buffer) => void
  #rest: Buffer = Buffer.alloc(0)

  constructor(message: (bytes: Buffer) => void) {
    this.#message = message
  }

  take(bytes: Buffer): void {
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    while (rest.length >= PREFIX_BYTES) {
      if (rest[0] !== 0) throw new Error('gRPC: a compressed message, which nobody asked for')
      const end = PREFIX_BYTES + rest.readUInt32BE(1)
      if (rest.length < end) break
      this.#message(rest.subarray(PREFIX_BYTES, end))
      rest = rest.subarray(end)
    }
    this.#rest = rest
  }
}
