/**
 * The log: a store that no process can block.
 *
 * All processes append to one file and read what all have appended; a replica of the queues follows from it. A verb takes
 * effect at its place in the file, and its outcome is known once everything up to that place has been read. Nobody holds
 * a lock over the file, so a process that is stopped or killed at any instruction stops nobody else.
 *
 * A file that has grown long is ended by a `seal`. Whatever stands behind a seal is void and is said again in the next
 * segment, which anybody makes from the state at the seal: written aside, then linked into place, so that it is there as a
 * whole or not at all. Segment numbers only grow, and a segment is removed, lowest first, only when the one after the next
 * is there; so the highest is always the living one, and who finds that its own was removed has been left behind.
 *
 *   log.N        segment N: a header, the state it starts from, then lines
 *   fence.F      fences up to F may have been handed out; synced to disk before one of them is
 *   s/INSTANCE   the socket of a process
 *   tmp.*        a segment in the making
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { BackendErrorCode } from '../../backend.ts'
import { BackendError } from '../../backend.ts'
import type { Moment } from '../../queue/table.ts'
import type { ClockIdentity, FileClock } from './clock.ts'
import type { Modes } from './directory.ts'
import type { Line, Verb } from './line.ts'
import { decodeLine, decodeText, eachLine, encodeLine, encodeText } from './line.ts'
import type { Answer, ReplicaState } from './replica.ts'
import { Replica } from './replica.ts'

/** Of the lines and of the state; another one is not read. */
export const FORMAT = 2
/** A segment is sealed beyond this, or beyond four times the state it began with: opening a store stays quick. */
const SEGMENT_BYTES = 256 * 1024
/** How far ahead fences are reserved on disk, in microseconds of the wall clock: one sync an hour. */
const RESERVE_AHEAD = 3600e6
/** How often to look whether the path still leads to the file that we have open. */
const PATH_CHECK_MS = 10
/** A segment is made in milliseconds; one in the making that is older has no maker any more. */
const LITTER_AGE_MS = 600_000
/** Another segment in each of so many tries means that something else is wrong. */
const TRIES_MAX = 1000

interface Header extends ClockIdentity {
  readonly format: number
}

interface Segment {
  readonly number: number
  readonly fd: number
  readonly path: string
  readonly inode: number
  /** The length of header and state. */
  headBytes: number
  /** Up to where the file has been read and applied. */
  offset: number
}

/** A line of this process, and its bytes without line ends. */
interface Written {
  readonly line: Line
  readonly bytes: Buffer
}

export interface LogEvents {
  /** A line of this process is in the file; what becomes of it is not known yet. */
  written(verbs: readonly Verb[]): void
  /** A line was applied; `mine` if it is the one that this process just wrote. */
  applied(mine: boolean): void
  /** Segments were skipped: what happened in them is not known, only the state after them. */
  skipped(): void
}

export class Log {
  readonly #directory: string
  readonly #modes: Modes
  readonly #instance: string
  readonly #clock: FileClock
  readonly #events: LogEvents
  #buffer: Buffer = Buffer.allocUnsafe(64 * 1024)
  #segment: Segment
  #replica: Replica = new Replica()
  readonly #inode: number | undefined
  #pathCheckedAt = 0

  constructor(directory: string, modes: Modes, instance: string, clock: FileClock, events: LogEvents) {
    this.#directory = directory
    this.#modes = modes
    this.#instance = instance
    this.#clock = clock
    this.#events = events
    this.#inode = inodeOf(directory)
    this.#segment = this.#open()
  }

  get replica(): Replica {
    return this.#replica
  }

  /** Say `verbs`, all at one place in the order of things, and hear the outcome of each. */
  exchange(verbs: readonly Verb[]): Answer[] {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const before = this.#segment
      const written = this.#append(verbs)
      if (!written) continue
      this.#events.written(verbs)
      const answers = this.#read(written)
      if (answers) {
        this.#assertLinked()
        return answers
      }
      // Behind a seal it is void, and is said again. But to say again what may count would be to say it twice.
      if (this.#segment === before)
        throw new BackendError('UNAVAILABLE', `the lock store ${this.#directory}: a line was written but is not there`)
    }
    throw new BackendError(
      'UNAVAILABLE',
      `the lock store ${this.#directory}: no line could be appended in ${TRIES_MAX} tries`,
    )
  }

  /** Read what others have said. */
  sync(): void {
    this.#read()
    this.#assertLinked()
  }

  /** Make sure that `fence`, which was just drawn, will never be drawn again, not even after a crash of the machine. */
  reserve(fence: number): void {
    if (fence <= this.#replica.reserved) return
    const upTo = fence + RESERVE_AHEAD
    closeSync(openSync(join(this.#directory, `fence.${upTo}`), 'a', this.#modes.file))
    this.#syncDirectory()
    for (const lower of this.#numbers('fence.').filter((each) => each < upTo))
      remove(join(this.#directory, `fence.${lower}`))
    this.exchange([['reserve', upTo]])
  }

  /** End a segment that has grown long. Said once: if it comes behind the seal of another process, that one did it. */
  tidy(): void {
    const { offset, headBytes } = this.#segment
    if (offset > headBytes + Math.max(SEGMENT_BYTES, 4 * headBytes)) this.#read(this.#append([['seal']]))
  }

  close(): void {
    closeSync(this.#segment.fd)
  }

  /** Write a line. `undefined`: it is torn before the end of its checksum, and does not count, for anybody. */
  #append(verbs: readonly Verb[]): Written | undefined {
    const line: Line = { instance: this.#instance, now: this.#clock.now(), verbs }
    const bytes = encodeLine(line)
    const written = writeSync(this.#segment.fd, bytes)
    // Without its line end it counts all the same, as soon as somebody writes the next one.
    if (written === bytes.length - 1) writeSync(this.#segment.fd, '\n')
    return written >= bytes.length - 1 ? { line, bytes: bytes.subarray(1, -1) } : undefined
  }

  /** Apply everything that is there. The answers of `own`, unless a seal came before it. */
  #read(own?: Written): Answer[] | undefined {
    let answers: Answer[] | undefined
    for (;;) {
      // Already sealed when it begins: the last attempt to go on has failed, on a full disk for example.
      if (this.#replica.sealed) {
        this.#advance()
        if (own) return undefined
      }
      const segment = this.#segment
      const length = readSync(segment.fd, this.#buffer, 0, this.#buffer.length, segment.offset)
      const used = eachLine(this.#buffer.subarray(0, length), (bytes) => {
        const mine = own !== undefined && answers === undefined && bytes.equals(own.bytes)
        const line = mine ? own.line : decodeLine(bytes)
        // A line without its checksum was torn by the end of its writer; it counts for nobody.
        if (!line) return true
        const given = this.#replica.apply(line, mine)
        if (mine) answers = given
        this.#events.applied(mine)
        return !this.#replica.sealed
      })
      segment.offset += used
      if (this.#replica.sealed) {
        this.#advance()
        // Without an answer, our own line stands behind the seal and is void.
        if (own) return answers
      } else if (length < this.#buffer.length) {
        return answers
      } else if (used === 0) {
        this.#buffer = Buffer.allocUnsafe(2 * this.#buffer.length)
      }
    }
  }

  /**
   * Go on to the segment behind a seal, making it if nobody has. It may be late for that: 1. we look, and there is none;
   * 2. we are stopped, while others make it, seal it, make the next ones and remove it;  3. we make it again, and would be
   * alone in it. So whoever has made one goes on in the highest, whichever that is.
   */
  #advance(): void {
    const { number, fd } = this.#segment
    // Another directory has another log, and our socket is not in it.
    if (inodeOf(this.#directory) !== this.#inode) throw this.#gone()
    if (fstatSync(fd).nlink > 0 && this.#highest() === number) this.#make(number + 1, this.#replica.dump())
    this.#segment = this.#open()
    closeSync(fd)
    if (this.#segment.number !== number + 1) this.#events.skipped()
  }

  /**
   * Open the highest segment, whichever that is, and make sure that it still is: what was opened may have been made again by
   * somebody who was late. 1. We look, and are stopped;  2. others go on, and remove what we saw;  3. one who was stopped
   * before it made that one makes it now;  4. we open it, and would be alone in it. As long as it is the highest, it was
   * never removed.
   */
  #open(): Segment {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const number = this.#highest()
      if (number === 0) {
        this.#make(1, this.#beginning())
        continue
      }
      const segment = this.#openSegment(number)
      // Somebody has moved on between the look and the opening.
      if (!segment) continue
      if (this.#highest() !== number) {
        closeSync(segment.fd)
        continue
      }
      const state = this.#head(segment)
      if (!state) continue
      this.#replica = new Replica(state)
      return segment
    }
    throw new BackendError(
      'UNAVAILABLE',
      `the lock store ${this.#directory}: no segment could be opened in ${TRIES_MAX} tries`,
    )
  }

  #openSegment(number: number): Segment | undefined {
    const path = this.#path(number)
    try {
      const fd = openSync(path, constants.O_RDWR | constants.O_APPEND)
      return { number, fd, path, inode: fstatSync(fd).ino, headBytes: 0, offset: 0 }
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** The state that a segment starts from; `undefined` when it had to be replaced by another one. */
  #head(segment: Segment): ReplicaState | undefined {
    const bytes = readFrom(segment.fd)
    const lines: Buffer[] = []
    segment.headBytes = eachLine(bytes, (line) => lines.push(line) < 2)
    segment.offset = segment.headBytes
    const header = parse(lines[0]) as Header | undefined
    const state = parse(lines[1]) as ReplicaState | undefined
    const { boot, namespace } = this.#clock.identity
    if (header && header.format !== FORMAT) {
      const age = header.format > FORMAT ? 'a newer' : 'an older'
      throw this.#unfit(
        segment,
        'STORE_VERSION',
        `is of format ${header.format}, made by ${age} holdfast; this one knows ${FORMAT}. Use one version, or give each a directory of its own`,
      )
    }
    if (!header || !state) {
      // After a crash of the machine the last segment may be there by name only, or in part. Any other damage is not ours
      // to guess.
      const crashed = header ? header.boot !== boot : bytes.every((byte) => byte === 0)
      if (!crashed) {
        throw this.#unfit(
          segment,
          'STORE_DAMAGED',
          `has a damaged ${segment.path}; when no process uses the store, remove its directory`,
        )
      }
      this.#succeed(segment, this.#clock.now(), () => this.#beginning())
      return undefined
    }
    if (header.boot === boot && header.namespace === namespace) return state
    const then = this.#assertIdle(segment, header, state)
    this.#succeed(segment, then, () => {
      // Looked at again behind the seal: 1. nobody holds;  2. somebody of the other clock joins;  3. we go on without it.
      this.#assertIdle(segment, header, state)
      return this.#lastWords(segment, state).afterBoot(this.#clock.now(), this.#reservedOnDisk())
    })
    return undefined
  }

  /** Throws if anybody may live who uses this segment, which was made under another clock. Its time, as it was last. */
  #assertIdle(segment: Segment, header: Header, state: ReplicaState): Moment {
    const { boot, namespace } = this.#clock.identity
    const last = this.#lastWords(segment, state)
    if (header.boot === boot) {
      if (last.table.seatCount === 0) return last.now
      throw this.#unfit(
        segment,
        'STORE_MISMATCH',
        'is in use under another clock (a time namespace, as of a container); give each its own directory',
      )
    }
    // A container may hide the machine's boot id behind one of its own. So it is another boot for certain only if the clock
    // has gone back; else whoever holds may live, and nothing but its time ends a lease.
    const now = this.#clock.now()
    if (header.namespace !== namespace || now.monotonicMs < last.now.monotonicMs || !last.inUse(now)) return last.now
    throw this.#unfit(
      segment,
      'STORE_MISMATCH',
      'is in use under another boot id (as of a container that has its own); give each its own directory',
    )
  }

  /** All that a segment says, read to its end, without a change to it. */
  #lastWords(segment: Segment, state: ReplicaState): Replica {
    const replica = new Replica(state)
    eachLine(readFrom(segment.fd).subarray(segment.headBytes), (bytes) => {
      const line = decodeLine(bytes)
      if (line) replica.apply(line)
      return !replica.sealed
    })
    return replica
  }

  /** Put a new segment after one that cannot go on. Its seal is of its own time, which must not end with a leap. */
  #succeed(segment: Segment, now: Moment, begin: () => ReplicaState): void {
    // Whoever still appends to it, against all we know, must find out that it has ended.
    const seal = encodeLine({ instance: this.#instance, now, verbs: [['seal']] })
    if (writeSync(segment.fd, seal) < seal.length) {
      throw this.#unfit(segment, 'STORE_FULL', 'has no room for one more line; free some space')
    }
    const state = begin()
    closeSync(segment.fd)
    this.#make(segment.number + 1, state)
  }

  #beginning(): ReplicaState {
    return new Replica().afterBoot(this.#clock.now(), this.#reservedOnDisk())
  }

  /** Make a segment, unless it is there, and clear away what nobody needs any more. */
  #make(number: number, state: ReplicaState): void {
    const temporary = join(this.#directory, `tmp.${this.#instance}.${number}`)
    const header: Header = { format: FORMAT, ...this.#clock.identity }
    const fd = this.#create(temporary)
    try {
      for (const part of [header, state]) writeAll(fd, encodeText(JSON.stringify(part)))
      linkSync(temporary, this.#path(number))
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error
    } finally {
      closeSync(fd)
      remove(temporary)
    }
    // The one before the highest stays: as long as it is there, so is what comes after it.
    const numbers = this.#numbers('log.').sort((a, b) => a - b)
    for (const lower of numbers.slice(0, -2)) remove(this.#path(lower))
    this.#sweep()
  }

  /** Segments in the making whose makers have died. */
  #sweep(): void {
    for (const name of readdirSync(this.#directory).filter((each) => each.startsWith('tmp.'))) {
      const path = join(this.#directory, name)
      const madeAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity
      if (this.#clock.now().wallMs - madeAt > LITTER_AGE_MS) remove(path)
    }
  }

  #create(path: string): number {
    remove(path)
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, this.#modes.file)
    // The umask has its say in open, and a group that shares a store must be able to write to it.
    fchmodSync(fd, this.#modes.file)
    return fd
  }

  #highest(): number {
    return Math.max(0, ...this.#numbers('log.'))
  }

  #reservedOnDisk(): number {
    return Math.max(0, ...this.#numbers('fence.'))
  }

  #numbers(prefix: string): number[] {
    return readdirSync(this.#directory)
      .filter((name) => name.startsWith(prefix) && /^\d{1,16}$/.test(name.slice(prefix.length)))
      .map((name) => Number(name.slice(prefix.length)))
  }

  #path(number: number): string {
    return join(this.#directory, `log.${number}`)
  }

  #syncDirectory(): void {
    const fd = openSync(this.#directory, constants.O_RDONLY)
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }

  /**
   * A store whose directory was removed or moved away excludes nobody: those who come now make another one. A look costs as
   * much as a line, so whoever has just looked does not: what it is granted meanwhile, it loses at its next request.
   */
  #assertLinked(): void {
    const { path, inode } = this.#segment
    const { monotonicMs } = this.#clock.now()
    if (monotonicMs - this.#pathCheckedAt < PATH_CHECK_MS) return
    this.#pathCheckedAt = monotonicMs
    // A segment that others have just replaced is not there either, but it has a seal.
    if (inodeOf(path) !== inode && !this.#sealedMeanwhile()) throw this.#gone()
  }

  #sealedMeanwhile(): boolean {
    const before = this.#segment
    this.#read()
    return this.#segment !== before
  }

  #gone(): BackendError {
    const text = `the lock store ${this.#directory} was removed or moved away while it was in use`
    return new BackendError('STORE_GONE', text)
  }

  #unfit(segment: Segment, code: BackendErrorCode, text: string): BackendError {
    closeSync(segment.fd)
    return new BackendError(code, `the lock store ${this.#directory} ${text}`)
  }
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino
}

function parse(line: Buffer | undefined): unknown {
  const json = line && decodeText(line)
  return json === undefined ? undefined : JSON.parse(json)
}

/** The whole file, by a descriptor whose own position is not used. */
function readFrom(fd: number): Buffer {
  let bytes = Buffer.alloc(fstatSync(fd).size)
  for (;;) {
    const length = readSync(fd, bytes, 0, bytes.length, 0)
    const size = fstatSync(fd).size
    if (size <= bytes.length) return bytes.subarray(0, length)
    bytes = Buffer.alloc(2 * size)
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written)
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
