/**
 * Keep-alives of leases, on one stream: asked for by those who need them, and answered or not.
 *
 * etcd answers the keep-alives of a stream one after the other, and says of which lease each answer is, but not of which
 * request. Since no answer may be taken for that of an earlier request, each waits for its own: those of one lease are
 * answered in the order in which they were sent. What is asked for while a keep-alive of the same lease waits to be sent in
 * this turn of the event loop goes with it.
 *
 * A stream that does not answer in time is ended, with all that it carries: of a lease, too, nobody knows then.
 */
import type { EtcdClient, MemberStream } from './client.ts'
import { EtcdError, GRPC } from './errors.ts'
import type { LeaseKeepAliveResponse, LeaseRequest } from './messages.ts'
import { LEASE_KEEP_ALIVE } from './messages.ts'

/** How long the lease lasts from when the keep-alive was sent, in seconds; 0: it is gone. */
type Seconds = number

interface Beat {
  readonly answered: (seconds: Seconds) => void
  readonly failed: (error: unknown) => void
}

/** One stream, for as long as it stands. */
interface Line {
  readonly stream: MemberStream<LeaseRequest>
  /** By lease, in the order in which they were sent. */
  readonly waiting: Map<bigint, Beat[]>
  /** Why it carries nothing any more. */
  lost?: EtcdError
}

export class Heartbeat {
  readonly #client: EtcdClient
  readonly #timeoutMs: number
  #line: Promise<Line> | undefined
  /** What leaves at the end of this turn. */
  #next = new Map<bigint, Promise<Seconds>>()
  #closed = false

  /** @param timeoutMs how long a keep-alive may take */
  constructor(client: EtcdClient, timeoutMs: number) {
    this.#client = client
    this.#timeoutMs = timeoutMs
  }

  /** @throws EtcdError `unavailable`: nobody knows how long it lasts */
  beat(lease: bigint): Promise<Seconds> {
    const known = this.#next.get(lease)
    if (known) return known
    if (this.#next.size === 0) process.nextTick(() => (this.#next = new Map()))
    const beat = this.#send(lease)
    this.#next.set(lease, beat)
    return beat
  }

  close(): void {
    this.#closed = true
    void this.#line?.then((line) => this.#drop(line, new EtcdError(GRPC.unavailable, 'the backend was closed')))
  }

  async #send(lease: bigint): Promise<Seconds> {
    const line = await this.#open()
    // In the same turn in which it was asked for.
    if (line.lost) throw line.lost
    return new Promise((resolve, reject) => {
      const late = (): void => {
        line.stream.abandon()
        this.#drop(line, new EtcdError(GRPC.unavailable, `a keep-alive was not answered within ${this.#timeoutMs} ms`))
      }
      const limit = this.#client.runtime.after(this.#timeoutMs, late)
      limit.keepAlive(true)
      const beat: Beat = {
        answered: (seconds) => {
          limit.cancel()
          resolve(seconds)
        },
        failed: (error) => {
          limit.cancel()
          reject(error)
        },
      }
      const waiting = line.waiting.get(lease)
      if (waiting) waiting.push(beat)
      else line.waiting.set(lease, [beat])
      line.stream.send({ id: lease })
    })
  }

  #open(): Promise<Line> {
    this.#line ??= this.#opened().catch((error: unknown) => {
      this.#line = undefined
      throw error
    })
    return this.#line
  }

  async #opened(): Promise<Line> {
    const waiting = new Map<bigint, Beat[]>()
    const stream = await this.#client.stream(
      LEASE_KEEP_ALIVE,
      {
        message: (answer) => hear(waiting, answer),
        ended: (error) => {
          if (error.grpc === GRPC.unauthenticated) stream.refresh()
          this.#drop(line, error)
        },
      },
      { needsLeader: true },
    )
    const line: Line = { stream, waiting }
    if (this.#closed) stream.end()
    return line
  }

  /** Nothing that it carries is answered; the next keep-alive opens another one. */
  #drop(line: Line, error: EtcdError): void {
    void this.#line?.then((current) => {
      if (current === line) this.#line = undefined
    })
    line.lost = error
    line.stream.end()
    for (const beats of line.waiting.values()) for (const { failed } of beats.splice(0)) failed(error)
    line.waiting.clear()
  }
}

function hear(waiting: Map<bigint, Beat[]>, { id, ttl }: LeaseKeepAliveResponse): void {
  const beats = waiting.get(id)
  const beat = beats?.shift()
  if (beats?.length === 0) waiting.delete(id)
  beat?.answered(Math.max(0, ttl))
}
