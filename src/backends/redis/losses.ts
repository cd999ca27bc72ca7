/**
 * What becomes of requests when a connection of our own is lost: here they get an answer. ioredis, told not to send them
 * again by itself, leaves them without one for ever; node-redis still sends what it had not sent, and a WAIT on another
 * connection than its script's would be answered at once.
 */
import { BackendError } from '../../backend.ts'

interface Connection {
  on(event: string, listener: () => void): unknown
}

export class Losses {
  #stands = false
  readonly #onTheirWay = new Set<(error: Error) => void>()

  /** @param lost the event with which the client says so */
  constructor(connection: Connection, lost: string) {
    connection.on('ready', () => void (this.#stands = true))
    connection.on(lost, () => {
      // What waits for a connection that never stood is still to be sent.
      if (!this.#stands) return
      this.#stands = false
      const error = new BackendError('UNAVAILABLE', 'redis: the connection was lost before the answer came')
      for (const reject of this.#onTheirWay) reject(error)
    })
  }

  /** The answer, or an error when the connection is lost before it comes. */
  orLost<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#onTheirWay.add(reject)
      answer.then(resolve, reject).finally(() => this.#onTheirWay.delete(reject))
    })
  }
}
