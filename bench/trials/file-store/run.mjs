// Trial of three designs for the `file:` backend: `node run.mjs [--quick] [--only 1,2,5] [--designs log] [--dir /tmp]`.
//
// The designs take turns, in an order that rotates, so that a change of the machine's mood meets all of them; numbers
// are medians with (min..max).
import { fork } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '1,2,3,4,5,6,7' },
    designs: { type: 'string', default: 'table,broker,log' },
    dir: { type: 'string', default: os.tmpdir() },
  },
})
const only = new Set(options.only.split(',').map(Number))
const designs = options.designs.split(',')
const quick = options.quick
const began = performance.now()
const progress = (text) => console.error(`${((performance.now() - began) / 1e3).toFixed(0).padStart(4)} s  ${text}`)
const now = () => Number(process.hrtime.bigint())
const workerPath = fileURLToPath(new URL('worker.mjs', import.meta.url))

// --- numbers

const ascending = (numbers) => [...numbers].sort((a, b) => a - b)
const quantile = (numbers, p) => {
  const sorted = ascending(numbers)
  return sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))]
}
const largest = (numbers) => numbers.reduce((a, b) => Math.max(a, b), 0)
const median = (numbers) => quantile(numbers, 0.5)
const short = (x) => (Number.isNaN(x) ? '-' : Math.abs(x) >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(3))))

const results = new Map() // row -> design -> samples
function record(row, design, value) {
  if (!results.has(row)) results.set(row, new Map())
  const byDesign = results.get(row)
  if (!byDesign.has(design)) byDesign.set(design, [])
  byDesign.get(design).push(value)
}

function print() {
  const columns = [...new Set([...results.values()].flatMap((byDesign) => [...byDesign.keys()]))]
  console.log(`| measure | ${columns.join(' | ')} |\n|---|${columns.map(() => '---|').join('')}`)
  for (const [row, byDesign] of results) {
    const base = byDesign.has('table') ? median(byDesign.get('table')) : Number.NaN
    const cells = columns.map((design) => {
      const samples = byDesign.get(design)
      if (!samples) return ''
      if (typeof samples[0] === 'string') return samples.join('; ')
      const spread = samples.length > 1 ? ` (${short(quantile(samples, 0))}..${short(quantile(samples, 1))})` : ''
      const ratio = design !== 'table' && base > 0 ? ` ×${short(median(samples) / base)}` : ''
      return `${short(median(samples))}${spread}${ratio}`
    })
    console.log(`| ${row} | ${cells.join(' | ')} |`)
  }
}

// --- processes

class Worker {
  #calls = new Map()
  #lastId = 0

  static async start(design, dir) {
    const worker = new Worker()
    worker.child = fork(workerPath, [design, dir], { execArgv: ['--no-warnings'] })
    worker.exited = new Promise((resolve) => worker.child.once('exit', resolve))
    await new Promise((resolve, reject) => {
      worker.child.once('exit', (code, signal) => reject(new Error(`worker ended early: ${code ?? signal}`)))
      worker.child.on('message', ({ id, result }) => (id === 0 ? resolve() : worker.#calls.get(id)(result)))
    })
    return worker
  }

  ask(job, options = {}) {
    const id = ++this.#lastId
    this.child.send({ id, job, ...options })
    return new Promise((resolve) => this.#calls.set(id, resolve))
  }

  tell(job, options = {}) {
    void this.ask(job, options)
  }

  async close() {
    this.child.send({ id: -1, job: 'close' })
    const late = setTimeout(() => this.child.kill('SIGKILL'), 15_000)
    await this.exited
    clearTimeout(late)
  }
}

const startMany = (count, design, dir) => Promise.all(Array.from({ length: count }, () => Worker.start(design, dir)))
const closeAll = (workers) => Promise.all(workers.map((worker) => worker.close()))
const freshDirectory = () => fs.mkdtempSync(`${options.dir}/file-store-`)
const discard = (dir) => fs.rmSync(dir, { recursive: true, force: true })

// Runs `body(design, repetition)` for all designs, interleaved and rotated.
async function rounds(count, label, body) {
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < designs.length; k++) {
      const design = designs[(i + k) % designs.length]
      await body(design, i)
    }
    progress(`${label}: round ${i + 1} of ${count}`)
  }
}

async function withWorkers(count, design, body) {
  const dir = freshDirectory()
  const workers = await startMany(count, design, dir)
  await body(workers, dir)
  await closeAll(workers)
  discard(dir)
}

// --- 1 to 4: speed

async function speed() {
  const repetitions = quick ? 3 : 9
  const ms = quick ? 250 : 400
  // With a broker it matters who asks: the process that is the broker needs no socket. Both are measured.
  const lone = async (job, body) =>
    rounds(repetitions, job, async (design) => {
      await withWorkers(1, design, async ([worker]) => {
        body(design === 'broker' ? 'broker, itself' : design, await worker.ask(job, { ms }))
      })
      if (design !== 'broker') return
      const dir = freshDirectory()
      const first = await Worker.start(design, dir)
      const client = await Worker.start(design, dir)
      body('broker, client', await client.ask(job, { ms }))
      await closeAll([first, client])
      discard(dir)
    })
  if (only.has(1)) {
    await lone('pairs', (column, { p50, p99, rate }) => {
      record('1 pair alone, p50 µs', column, p50)
      record('1 pair alone, p99 µs', column, p99)
      record('1 pairs/s', column, rate)
    })
  }
  if (only.has(2)) await lone('burst', (column, { rate }) => record('2 pairs/s, 64 names at once', column, rate))
  if (only.has(3)) {
    await rounds(repetitions, 'greedy', (design) =>
      withWorkers(4, design, async (workers) => {
        const startAt = now() + 5e7
        const answers = await Promise.all(workers.map((worker) => worker.ask('greedy', { startAt, ms: ms * 2 })))
        const seen = judgeGreedy(answers.map(({ turns }) => turns))
        record('3 acquisitions/s, four processes, one name', design, seen.rate)
        record('3 hand-over p50 µs', design, seen.p50)
        record('3 hand-over p99 µs', design, seen.p99)
        record('3 longest wait ms', design, seen.longest)
        record('3 overtakes per 1,000', design, seen.overtakes)
        record('3 overlaps', design, seen.overlaps)
        record('3 event loop late by at most ms', design, Math.max(...answers.map(({ block }) => block)))
      }),
    )
  }
  if (only.has(4)) {
    await rounds(repetitions, 'own names', (design) =>
      withWorkers(4, design, async (workers) => {
        const startAt = now() + 5e7
        const counts = await Promise.all(
          workers.map((worker, i) => worker.ask('own', { startAt, ms: ms * 2, name: `own-${i}` })),
        )
        const total = counts.reduce((sum, { pairs }) => sum + pairs, 0)
        record('4 pairs/s, four processes, own names', design, (total / ms / 2) * 1e3)
      }),
    )
  }
}

// An overtake: granted earlier than another that had asked more than 1 ms before.
function judgeGreedy(lists) {
  const turns = lists.flat().sort((a, b) => a[3] - b[3])
  const handOver = []
  let overlaps = 0
  let overtakes = 0
  for (let i = 1; i < turns.length; i++) {
    const gap = turns[i][1] - turns[i - 1][2]
    if (gap < 0) overlaps++
    if (turns[i][0] < turns[i - 1][2]) handOver.push(gap) // it was already waiting
  }
  for (const list of lists) {
    for (const other of lists) {
      if (other === list) continue
      let next = 0 // the first turn of the other process that was granted later: the one it waited for
      for (const [ask, granted] of list) {
        while (next < other.length && other[next][1] < granted) next++
        if (next < other.length && other[next][0] < ask - 1e6) overtakes++
      }
    }
  }
  const seconds = (turns.at(-1)[2] - turns[0][1]) / 1e9
  return {
    rate: turns.length / seconds,
    p50: median(handOver) / 1e3,
    p99: quantile(handOver, 0.99) / 1e3,
    longest: turns.reduce((longest, [ask, granted]) => Math.max(longest, granted - ask), 0) / 1e6,
    overtakes: (overtakes / turns.length) * 1e3,
    overlaps,
  }
}

// --- 5: kill storm

const readHistory = (path) =>
  fs.existsSync(path)
    ? fs
        .readFileSync(path, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => line.split(' ').map((field, i) => (i === 0 ? field : Number(field))))
    : []

async function killStorm(design, kills) {
  const dir = freshDirectory()
  const work = freshDirectory()
  const counter = `${work}/counter`
  fs.writeFileSync(counter, '0'.padStart(12, '0'))
  const started = []
  const start = async () => {
    const worker = await Worker.start(design, dir)
    worker.history = `${work}/history-${started.length}`
    started.push(worker)
    worker.tell('storm', { history: worker.history, counter })
    return worker
  }
  const alive = await Promise.all(Array.from({ length: 4 }, start))
  for (let i = 0; i < kills; i++) {
    const [victim] = alive.splice(Math.floor(Math.random() * alive.length), 1)
    victim.served = (await victim.ask('stats')).broker
    await delay(20 + Math.random() * 60)
    victim.killedAt = now()
    victim.child.kill('SIGKILL')
    await victim.exited
    alive.push(await start())
  }
  await delay(300)
  const endedAt = now()
  for (const worker of alive) worker.tell('stop')
  await closeAll(alive)

  // A newcomer must get the lock at once.
  const before = now()
  const newcomer = await Worker.start(design, dir)
  await newcomer.ask('hold')
  const fresh = (now() - before) / 1e6
  await newcomer.ask('drop')
  await newcomer.close()
  const { inspect } = await import(`./${design}.mjs`)
  const state = await inspect(dir)

  const holds = []
  const deaths = []
  for (const { history, killedAt, served } of started) {
    const lines = readHistory(history)
    for (const [i, [what, time, fence, value]] of lines.entries()) {
      if (what !== 'grant') continue
      const leave = lines[i + 1]
      holds.push({ from: time, to: leave?.[1] ?? killedAt ?? endedAt, fence, read: value, wrote: leave?.[3] })
    }
    if (killedAt)
      deaths.push({ killedAt, served, heldFence: lines.at(-1)?.[0] === 'grant' ? lines.at(-1)[2] : undefined })
  }
  holds.sort((a, b) => a.fence - b.fence)
  let overlaps = 0
  let lost = 0
  let longestGap = 0
  for (let i = 1; i < holds.length; i++) {
    const [a, b] = [holds[i - 1], holds[i]]
    if (b.from < a.to || b.fence === a.fence) overlaps++
    // A victim may have written the counter and not its history.
    const expected = a.wrote === undefined ? [a.read, a.read + 1] : [a.wrote]
    if (!expected.includes(b.read)) lost++
    longestGap = Math.max(longestGap, b.from - a.to)
  }
  const successions = deaths.flatMap(({ killedAt, heldFence }) => {
    if (heldFence === undefined) return []
    const next = holds.find(({ fence }) => fence > heldFence)
    return next ? [(next.from - killedAt) / 1e6] : []
  })
  const terms = deaths.flatMap(({ killedAt, served }) => {
    const next = served && holds.find(({ from }) => from > killedAt)
    return next ? [(next.from - killedAt) / 1e6] : []
  })
  discard(dir)
  discard(work)
  return {
    holds: holds.length,
    terms,
    overlaps,
    lost,
    stuck: longestGap > 2e9 || fresh > 2000 ? 1 : 0,
    longestGap: longestGap / 1e6,
    successions,
    state,
  }
}

async function kill() {
  const chunks = quick ? 1 : 3
  const kills = quick ? 15 : 20
  const totals = new Map(
    designs.map((design) => [
      design,
      { holds: 0, overlaps: 0, lost: 0, stuck: 0, successions: [], terms: [], gaps: [], notes: [] },
    ]),
  )
  await rounds(chunks, `kill storm, ${kills} kills each`, async (design) => {
    const seen = await killStorm(design, kills)
    const total = totals.get(design)
    for (const key of ['holds', 'overlaps', 'lost', 'stuck']) total[key] += seen[key]
    total.successions.push(...seen.successions)
    total.terms.push(...seen.terms)
    total.gaps.push(seen.longestGap)
    total.notes.push(
      `${seen.state.intact ? 'intact' : 'DAMAGED'}, ${seen.state.left} left${seen.state.note ? `, ${seen.state.note}` : ''}`,
    )
  })
  for (const [design, total] of totals) {
    record('5 kills', design, String(chunks * kills))
    record('5 grants', design, String(total.holds))
    record('5 overlaps', design, String(total.overlaps))
    record('5 lost updates', design, String(total.lost))
    record('5 stuck', design, String(total.stuck))
    record('5 holders killed', design, String(total.successions.length))
    record('5 kill of the holder to next grant, p50 ms', design, median(total.successions))
    record('5 kill of the holder to next grant, max ms', design, Math.max(...total.successions))
    if (total.terms.length > 0) record('5 kill of the broker to next grant, max ms', design, Math.max(...total.terms))
    record('5 longest time without a holder ms', design, Math.max(...total.gaps))
    record('5 store at the end', design, [...new Set(total.notes)].join(', then '))
  }
}

// --- 6: freeze storm

// What a worker was doing at `time`, by its history. Between `leave` and `left` it may still hold.
function doing(lines, time) {
  const last = lines.findLast(([what, at]) => what !== 'gap' && at <= time)
  return { ask: 'waiting', grant: 'holding', leave: 'holding', left: 'elsewhere' }[last?.[0]] ?? 'elsewhere'
}

async function freezeStorm(design, count) {
  const dir = freshDirectory()
  const work = freshDirectory()
  const workers = await startMany(4, design, dir)
  workers.forEach((worker, i) =>
    worker.tell('freeze', { history: (worker.history = `${work}/history-${i}`), name: `own-${i}` }),
  )
  await delay(300)
  for (const worker of workers) worker.serves = (await worker.ask('stats')).broker
  const freezes = []
  for (let i = 0; i < count; i++) {
    await delay(100 + Math.random() * 100)
    const victim = workers[Math.floor(Math.random() * 4)]
    victim.child.kill('SIGSTOP')
    const from = now()
    await delay(1000)
    const to = now()
    victim.child.kill('SIGCONT')
    freezes.push({ victim, from, to })
  }
  await delay(200)
  for (const worker of workers) worker.tell('stop')
  await delay(100)
  await closeAll(workers)
  const histories = new Map(workers.map((worker) => [worker, readHistory(worker.history)]))
  discard(dir)
  discard(work)
  return freezes.map(({ victim, from, to }) => {
    const others = workers.filter((worker) => worker !== victim).map((worker) => histories.get(worker))
    // The part of a gap that lies in the freeze: longest time in which one of the others could not lock its own name.
    const stalls = others
      .flat()
      .filter(([what]) => what === 'gap')
      .map(([, a, b]) => Math.min(b, to) - Math.max(a, from))
    const grants = others
      .flat()
      .filter(([what, at]) => what === 'grant' && at > from && at < to)
      .map(([, at]) => at)
    const marks = ascending([from, ...grants, to])
    const sharedGap = largest(marks.slice(1).map((mark, i) => mark - marks[i]))
    return {
      serves: victim.serves,
      state: doing(histories.get(victim), from),
      own: largest(stalls) / 1e6,
      shared: sharedGap / 1e6,
    }
  })
}

async function freeze() {
  const chunks = quick ? 1 : 4
  const count = 10
  const all = new Map(designs.map((design) => [design, []]))
  await rounds(chunks, `freeze storm, ${count} freezes each`, async (design) => {
    all.get(design).push(...(await freezeStorm(design, count)))
  })
  for (const [design, freezes] of all) {
    const by = (state) => freezes.filter((one) => one.state === state)
    const innocent = freezes.filter((one) => one.state !== 'holding')
    const elsewhere = by('elsewhere').map((one) => one.shared)
    const tally = (list) => list.filter((ms) => ms > 500).length
    record(
      '6 freezes of 1 s (victim held / waited / elsewhere)',
      design,
      `${freezes.length} (${by('holding').length} / ${by('waiting').length} / ${by('elsewhere').length})`,
    )
    record(
      "6 others' own names stood still > 500 ms, victim did not hold",
      design,
      `${tally(innocent.map((one) => one.own))} of ${innocent.length}`,
    )
    if (design === 'broker') {
      const served = innocent.filter((one) => one.serves)
      record('6 of these, victim was the broker', design, `${tally(served.map((one) => one.own))} of ${served.length}`)
    }
    record("6 longest stall of others' own names ms, p50", design, median(innocent.map((one) => one.own)))
    record("6 longest stall of others' own names ms, max", design, Math.max(...innocent.map((one) => one.own)))
    record('6 shared name stood still > 500 ms, victim elsewhere', design, `${tally(elsewhere)} of ${elsewhere.length}`)
    record('6 longest stall of the shared name ms, victim elsewhere, max', design, Math.max(...elsewhere))
    record(
      '6 shared name stood still > 500 ms, victim waited (its turn came)',
      design,
      `${tally(by('waiting').map((one) => one.shared))} of ${by('waiting').length}`,
    )
  }
}

// --- 7: a crowd that waits

async function idle() {
  const seconds = quick ? 4 : 10
  await rounds(1, `idle crowd, ${seconds} s each`, (design) =>
    withWorkers(3, design, async ([holder, ...crowd]) => {
      await holder.ask('hold')
      await Promise.all(crowd.map((worker) => worker.ask('crowd', { count: 250 })))
      await delay(500)
      const usage = () => Promise.all([holder, ...crowd].map((worker) => worker.ask('usage')))
      const before = await usage()
      await delay(seconds * 1000)
      const after = await usage()
      const cpu = after.map((one, i) => one.cpu.user + one.cpu.system - before[i].cpu.user - before[i].cpu.system)
      const writes = after.map((one, i) => one.writes - before[i].writes)
      const start = now()
      holder.tell('drop')
      const served = await Promise.all(crowd.map((worker) => worker.ask('served')))
      const sum = (numbers) => numbers.reduce((a, b) => a + b, 0)
      record(`7 CPU ms in ${seconds} s, 2 × 250 waiters and a holder`, design, sum(cpu) / 1e3)
      record(`7 store writes (broker: messages) in ${seconds} s`, design, sum(writes))
      record('7 all 500 served after ms', design, (Math.max(...served) - start) / 1e6)
    }),
  )
}

progress(`${process.version}, ${os.type()} ${os.release()}, ${os.cpus().length} cores, ${options.dir}`)
await speed()
if (only.has(5)) await kill()
if (only.has(6)) await freeze()
if (only.has(7)) await idle()
print()
progress('done')
