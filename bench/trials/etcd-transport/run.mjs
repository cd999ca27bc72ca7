// Which client of etcd: `node run.mjs [--quick] [--reps 5]` from anywhere. Prints a Markdown table.
//
// The clients take turns, in an order that rotates; numbers are medians with (min..max). It starts its own members of etcd, on
// the loopback, and ends them. The first run installs the other clients beside it.
import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, reps: { type: 'string' } },
})
const repetitions = Number(options.reps ?? (options.quick ? 2 : 5))
const count = options.quick ? 500 : 3000
const RECOVERY_MS = 20_000

const folder = fileURLToPath(new URL('.', import.meta.url))
if (!existsSync(`${folder}/node_modules/@grpc/grpc-js`))
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
const ours = (path) => import(new URL(path, import.meta.url))
const { CLIENTS } = await ours('clients.mjs')
const { Etcd } = await ours('../../../test/kit/etcd.ts')
const { quantile, short, spread } = await ours('../../lib/numbers.ts')
const names = Object.keys(CLIENTS)

const running = new Set()
process.on('exit', () => running.forEach((worker) => worker.kill('SIGKILL')))

const rows = new Map()
function record(row, name, value) {
  if (!rows.has(row)) rows.set(row, new Map(names.map((each) => [each, []])))
  rows.get(row).get(name).push(value)
}

for (let round = 0; round < repetitions; round += 1) {
  for (let place = 0; place < names.length; place += 1) {
    const name = names[(round + place) % names.length]
    await onOne(name)
    await onThree(name)
  }
  console.error(`round ${round + 1} of ${repetitions}`)
}
console.log(
  `Node ${process.versions.node}; \`node bench/trials/etcd-transport/run.mjs${options.quick ? ' --quick' : ''}\`\n`,
)
console.log(`|  | ${names.join(' | ')} |\n| --- |${names.map(() => ' --- |').join('')}`)
for (const [row, byName] of rows) {
  const cells = names.map((name) => {
    const samples = byName.get(name)
    const answered = samples.filter((each) => each !== null)
    if (answered.length === samples.length) return spread(samples)
    const never = `never, ${samples.length - answered.length} of ${samples.length}`
    return answered.length === 0 ? never : `${never}; else ${short(quantile(answered, 0.5))}`
  })
  console.log(`| ${row} | ${cells.join(' | ')} |`)
}

async function onOne(name) {
  const etcd = await Etcd.start()
  const worker = await started(name, etcd.endpoints)
  try {
    await ask(worker, 'calls', { count })
    const calls = await ask(worker, 'calls', { count })
    record('a call, p50 µs', name, quantile(calls.took, 0.5))
    record('p99 µs', name, quantile(calls.took, 0.99))
    record('CPU µs a call', name, calls.cpu)
    await ask(worker, 'many', { count: 2 * count })
    const many = await ask(worker, 'many', { count: 4 * count })
    record('64 at once, calls/s', name, many.rate)
    record('CPU µs a call, 64 at once', name, many.cpu)
    const stream = await ask(worker, 'stream', { count })
    record('a message of a stream, p50 µs from the change', name, quantile(stream.took, 0.5))
    record('CPU µs a change and its message', name, stream.cpu)
  } finally {
    await ended(worker)
    await etcd.end()
  }
}

/** A member that is in use stands still: of those who do not lead, the one that was asked most. */
async function onThree(name) {
  const etcd = await Etcd.start(3)
  let worker
  try {
    let used
    for (let tried = 0; used === undefined && tried < 10; tried += 1) {
      if (worker) await ended(worker)
      const before = await Promise.all(etcd.members.map(statusOf))
      // Who has but one connection has it with one of those.
      const followers = etcd.members.filter((_, index) => !before[index].leads)
      const leader = etcd.members.find((_, index) => before[index].leads)
      worker = await started(
        name,
        [...followers, leader].map(({ endpoint }) => endpoint),
      )
      await ask(worker, 'calls', { count: 300 })
      const after = await Promise.all(etcd.members.map(statusOf))
      const asked = after.map(({ calls }, index) => calls - before[index].calls)
      const most = followers.map((member) => ({ member, calls: asked[etcd.members.indexOf(member)] }))
      most.sort((a, b) => b.calls - a.calls)
      if (most[0].calls >= 50) used = most[0].member
    }
    used.freeze()
    const recovery = await ask(worker, 'recovery', { limitMs: RECOVERY_MS })
    record('the member in use stands still: ms until a call is answered', name, recovery.firstMs)
    record('calls that failed until then', name, recovery.failed)
    record('of the next 30 calls, failed', name, recovery.later ?? Number.NaN)
    used.thaw()
  } finally {
    if (worker) await ended(worker)
    await etcd.end()
  }
}

async function statusOf({ endpoint }) {
  const lines = (await (await fetch(`${endpoint}/metrics`)).text()).split('\n')
  const number = (start) =>
    Number(
      lines
        .find((line) => line.startsWith(start))
        ?.split(' ')
        .at(-1) ?? 0,
    )
  const ok = lines.filter((line) => line.startsWith('grpc_server_handled_total') && /"OK".*"Txn"/.test(line))
  return { leads: number('etcd_server_is_leader') === 1, calls: Number(ok[0]?.split(' ').at(-1) ?? 0) }
}

async function started(name, endpoints) {
  const path = fileURLToPath(new URL('worker.mjs', import.meta.url))
  const worker = fork(path, [name, endpoints.join(',')], {
    execArgv: ['--no-warnings'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  running.add(worker)
  await once(worker, 'message')
  return worker
}

async function ask(worker, job, jobOptions) {
  worker.send({ job, options: jobOptions })
  const [{ answer, error }] = await once(worker, 'message')
  if (error !== undefined) throw new Error(`${job}: ${error}`)
  return answer
}

async function ended(worker) {
  running.delete(worker)
  if (worker.exitCode !== null || worker.signalCode !== null) return
  const exited = once(worker, 'exit')
  worker.kill('SIGKILL')
  await exited
}
