// What the designs rely on, asked of the kernel: `node facts.mjs [a|b|c|d ...] [--quick]`. Linux only.
import { fork, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import zlib from 'node:zlib'
import { forget } from './neighbours.mjs'

const self = fileURLToPath(import.meta.url)
const now = () => Number(process.hrtime.bigint()) / 1e6
const quick = process.argv.includes('--quick')

// Ends with 'connected', or with the error code.
const dial = (path) =>
  new Promise((resolve) => {
    const socket = net.connect(path)
    socket.once('connect', () => resolve({ answer: 'connected', socket }))
    socket.once('error', ({ code }) => resolve({ answer: code }))
  })
const ask = async (path) => {
  const { answer, socket } = await dial(path)
  socket?.destroy()
  return answer
}
const role = (...args) => fork(self, args)
const message = (child) => new Promise((resolve) => child.once('message', resolve))
const ended = (child) => new Promise((resolve) => child.once('exit', resolve))

// --- a: appended lines

// Lines of one writer are numbered; the number of the last write that returned goes to a file of its own, so that
// kill -9 leaves a record of what must be there.
async function write(path, confirmed, writer, least, most) {
  const fd = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_APPEND)
  const mark = fs.openSync(confirmed, 'w')
  const filler = 'x'.repeat(Number(most))
  const spread = Number(most) - Number(least)
  for (let number = 1; ; number++) {
    const text = `${writer} ${number} ${filler.slice(0, Number(least) + Math.floor(Math.random() * spread))}`
    const line = Buffer.from(`\n${zlib.crc32(text).toString(16).padStart(8, '0')} ${text}\n`)
    if (fs.writeSync(fd, line) !== line.length) throw new Error('a short write')
    fs.writeSync(mark, String(number).padStart(12), 0)
    if (number % 20 === 0) await delay(2) // bounds the size of the file
  }
}

// Reads as `log` does: from the last offset to the last newline. `chain` is a checksum over everything accepted.
class Reader {
  lines = 0
  fragments = 0
  chain = 0
  doubled = 0
  seen = new Map() // writer -> { last, count }
  #buffer = Buffer.allocUnsafe(8 << 20)
  #offset = 0

  constructor(path) {
    this.fd = fs.openSync(path, 'r')
  }

  read() {
    const length = fs.readSync(this.fd, this.#buffer, 0, this.#buffer.length, this.#offset)
    const end = length === 0 ? -1 : this.#buffer.lastIndexOf(10, length - 1)
    for (let from = 0; from <= end;) {
      const to = this.#buffer.indexOf(10, from)
      if (to > from) this.#line(this.#buffer.subarray(from, to))
      from = to + 1
    }
    this.#offset += end + 1
    return end >= 0
  }

  #line(line) {
    if (line.length < 10 || zlib.crc32(line.subarray(9)) !== Number.parseInt(line.latin1Slice(0, 8), 16)) {
      this.fragments++
      return
    }
    this.lines++
    this.chain = zlib.crc32(line.subarray(0, 8), this.chain)
    const [writer, number] = line.latin1Slice(9, 60).split(' ')
    const of = this.seen.get(writer) ?? { last: 0, count: 0 }
    if (Number(number) <= of.last) this.doubled++
    this.seen.set(writer, { last: Number(number), count: of.count + 1 })
  }
}

async function follow(path) {
  const reader = new Reader(path)
  let finishing = false
  process.once('message', () => (finishing = true))
  process.send('ready')
  for (;;) {
    const last = finishing
    while (reader.read());
    if (last) break
    await delay(1)
  }
  const { lines, fragments, chain } = reader
  process.send({ lines, fragments, chain })
}

async function append(base, least, most, seconds) {
  const dir = fs.mkdtempSync(`${base}/facts-`)
  const path = `${dir}/log`
  fs.writeFileSync(path, '')
  const follower = role('follow', path)
  await message(follower)
  let count = 0
  const start = () => role('write', path, `${dir}/${++count}`, String(count), String(least), String(most))
  const alive = Array.from({ length: 8 }, start)
  let kills = 0
  for (const end = now() + seconds * 1e3; now() < end; kills++) {
    await delay(40 + Math.random() * 40)
    const [victim] = alive.splice(Math.floor(Math.random() * alive.length), 1)
    victim.kill('SIGKILL')
    await ended(victim)
    alive.push(start())
  }
  for (const child of alive) {
    child.kill('SIGKILL')
    await ended(child)
    kills++
  }
  fs.appendFileSync(path, '\n') // what the next writer would do: it ends the last fragment
  follower.send('finish')
  const live = await message(follower)
  const reader = new Reader(path)
  while (reader.read());
  let lost = 0
  for (let writer = 1; writer <= count; writer++) {
    const file = `${dir}/${writer}`
    const confirmed = fs.existsSync(file) ? Number(fs.readFileSync(file, 'utf8')) : 0
    const { last, count: found } = reader.seen.get(String(writer)) ?? { last: 0, count: 0 }
    if (last < confirmed || found !== last) lost++ // the last one missing, or a hole
  }
  const size = fs.statSync(path).size
  fs.rmSync(dir, { recursive: true })
  const same = live.lines === reader.lines && live.fragments === reader.fragments && live.chain === reader.chain
  console.log(
    `a  ${base}, ${least}..${most} bytes: ${reader.lines} lines, ${(size / 1e6).toFixed(0)} MB, ${kills} kills, ` +
      `${reader.fragments} fragments, writers with a lost line ${lost}, doubled or reordered lines ${reader.doubled}, ` +
      `live reader saw ${same ? 'the same' : `SOMETHING ELSE: ${JSON.stringify(live)}`}`,
  )
}

async function a() {
  const seconds = quick ? 3 : 10
  for (const base of [os.tmpdir(), '/dev/shm']) {
    await append(base, 100, 5000, seconds)
    await append(base, 500_000, 1_000_000, 3) // long enough to be cut by a kill
  }
}

// --- b: a listening socket that a child has inherited

async function listenAndLend(path) {
  const server = net
    .createServer(() => {})
    .listen(path, () => {
      const child = spawn('sleep', ['1000'], {
        detached: true,
        stdio: ['ignore', 'ignore', 'ignore', server._handle.fd],
      })
      child.once('spawn', () => process.send(child.pid))
    })
}

async function b() {
  const dir = fs.mkdtempSync(`${os.tmpdir()}/facts-`)
  const whileAlive = new Map()
  const queuedEnds = new Map()
  const took = []
  const queuedTook = []
  for (let i = 0; i < (quick ? 5 : 20); i++) {
    const path = `${dir}/${i}`
    const owner = role('listenAndLend', path)
    const child = await message(owner)
    owner.kill('SIGKILL')
    await ended(owner)
    await delay(50)
    const { answer, socket } = await dial(path)
    whileAlive.set(answer, (whileAlive.get(answer) ?? 0) + 1)
    const queued = new Promise((resolve) => {
      let how = 'end'
      socket.on('error', ({ code }) => (how = code))
      socket.on('close', () => resolve({ how, at: now() }))
      socket.resume()
    })
    const from = now()
    process.kill(child, 'SIGKILL')
    while ((await ask(path)) !== 'ECONNREFUSED');
    took.push(now() - from)
    const { how, at } = await queued
    queuedEnds.set(how, (queuedEnds.get(how) ?? 0) + 1)
    queuedTook.push(at - from)
  }
  const spread = (list) => {
    list.sort((x, y) => x - y)
    return `p50 ${list[list.length >> 1].toFixed(2)} ms, max ${list.at(-1).toFixed(2)} ms`
  }
  console.log('b  owner dead, child alive: a new connection is', Object.fromEntries(whileAlive))
  console.log(
    `b  child killed: refused after ${spread(took)}; the queued connection ends with`,
    Object.fromEntries(queuedEnds),
    `after ${spread(queuedTook)}`,
  )
  fs.rmSync(dir, { recursive: true })
}

// --- c: a directory whose path is too long for sun_path

async function c() {
  const base = fs.mkdtempSync(`${os.tmpdir()}/facts-`)
  const dir = `${base}/${'d'.repeat(100)}/${'e'.repeat(100)}`
  fs.mkdirSync(dir, { recursive: true })
  const plain = net.createServer(() => {})
  const result = await new Promise((resolve) => {
    plain.once('error', ({ code }) => resolve(code))
    plain.listen(`${dir}/s`, () => resolve('listens'))
  })
  console.log(
    `c  listen on a path of ${dir.length + 2} bytes: ${result}; at that path afterwards: ${fs.existsSync(`${dir}/s`)}; connect: ${await ask(`${dir}/s`)}`,
  )
  if (plain.listening) plain.close()
  const fd = fs.openSync(dir, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  const short = `/proc/self/fd/${fd}/s2`
  const server = net.createServer(() => {})
  await new Promise((resolve, reject) => server.once('error', reject).listen(short, resolve))
  const other = role('dialIn', dir)
  console.log(
    `c  through /proc/self/fd/N: listens, in the right directory: ${fs.existsSync(`${dir}/s2`)}; connect from the same process: ${await ask(short)}, from another: ${await message(other)}`,
  )
  await new Promise((resolve) => server.close(resolve))
  console.log(`c  after close() the path is ${fs.existsSync(`${dir}/s2`) ? 'still there' : 'gone'}`)
  other.disconnect()
  fs.rmSync(base, { recursive: true })
}

async function dialIn(dir) {
  const fd = fs.openSync(dir, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  process.send(await ask(`/proc/self/fd/${fd}/s2`))
}

// --- d: who refuses

async function listenOn(path, backlog) {
  net.createServer(() => {}).listen({ path, backlog: Number(backlog) }, () => process.send('ready'))
}

async function d() {
  const dir = fs.mkdtempSync(`${os.tmpdir()}/facts-`)
  const path = `${dir}/s`
  const say = (what, answer) => console.log(`d  ${what}: ${answer}`)
  const server = role('listenOn', path, '4')
  await message(server)
  const script = `require('net').connect(${JSON.stringify(path)}).on('connect', () => { console.log('connected'); process.exit() }).on('error', (e) => console.log(e.code))`
  for (const flags of [['-n'], ['-rn']]) {
    const { stdout, stderr } = spawnSync('unshare', [...flags, process.execPath, '-e', script], { encoding: 'utf8' })
    say(`connect across unshare ${flags.join(' ')}`, stdout.trim() || stderr.trim())
  }
  server.kill('SIGSTOP')
  await delay(50)
  const answers = []
  const open = []
  for (let i = 0; i < 8; i++) {
    const { answer, socket } = await dial(path)
    answers.push(answer)
    if (socket) open.push(socket)
  }
  say('connect to a stopped process, backlog 4, eight times', answers.join(' '))
  for (const socket of open) socket.on('error', () => {})
  const from = now()
  server.kill('SIGKILL')
  while ((await ask(path)) !== 'ECONNREFUSED');
  say('stopped, then killed: refused after', `${(now() - from).toFixed(2)} ms`)
  forget(path)
  say('no such file', await ask(path))
  fs.writeFileSync(path, '')
  say('an ordinary file', await ask(path))
  forget(path)
  const { Pipe, constants } = process.binding('pipe_wrap')
  const bound = new Pipe(constants.SERVER)
  bound.bind(path)
  say('bound, not yet listening', await ask(path))
  bound.close()
  fs.rmSync(dir, { recursive: true })
}

const roles = { write, follow, listenAndLend, dialIn, listenOn }
const [first, ...rest] = process.argv.slice(2)
if (Object.hasOwn(roles, first)) {
  process.on('disconnect', () => process.exit())
  await roles[first](...rest)
} else {
  const facts = { a, b, c, d }
  const wanted = process.argv.slice(2).filter((argument) => argument in facts)
  for (const fact of wanted.length > 0 ? wanted : Object.keys(facts)) await facts[fact]()
}
