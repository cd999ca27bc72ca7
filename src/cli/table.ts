/**
 * The one table of commands: what each can be told, and what is said of it. `--help`, docs/cli.md, the man page and the
 * completion of shells all come from it.
 */
import { QUEUE_KINDS } from '../core/request.ts'
import type { QueueKind } from '../core/request.ts'
import type { Ending } from './exit.ts'
import { EXIT } from './exit.ts'
import type { Option, Permits, Row, Table } from './options.ts'
import { count, duration, exitCode, fence, number, oneOf, parse, permits, rowsOf, signalName, text } from './options.ts'

/** What all commands can be told. */
export interface Common {
  readonly url: string | undefined
  readonly json: boolean
  readonly help: boolean
}

/** How a command is held to its lock. Durations in milliseconds. */
export interface HoldValues extends Common {
  readonly ttl: number | undefined
  readonly 'kill-after': number | undefined
  readonly signal: NodeJS.Signals | undefined
  readonly 'max-time': number | undefined
  readonly command: string | undefined
  readonly label: string | undefined
  readonly quiet: boolean
  readonly verbose: boolean
}

export interface RunValues extends HoldValues {
  readonly wait: number | undefined
  readonly try: boolean
  readonly 'conflict-exit-code': number | undefined
  readonly shared: boolean
  readonly permits: Permits | undefined
  readonly 'min-hold': number | undefined
  readonly 'on-lost': OnLost | undefined
}

export interface LeadValues extends HoldValues {
  readonly once: boolean
  readonly value: string | undefined
}

export interface LsValues extends Common {
  readonly all: boolean
  readonly quiet: boolean
}

export interface ShowValues extends Common {
  readonly kind: QueueKind | undefined
}

export interface WatchValues extends Common {
  readonly every: number | undefined
}

export interface CheckValues extends Common {
  readonly kind: QueueKind | undefined
  readonly quiet: boolean
}

export interface ReleaseValues extends Common {
  readonly fence: bigint | undefined
  readonly kind: QueueKind | undefined
}

export interface VerifyValues extends Common {
  readonly minutes: number | undefined
  readonly fault: string | undefined
  readonly each: boolean
  readonly strikes: number | undefined
  readonly seed: number | undefined
  readonly ttl: number | undefined
  readonly report: string | undefined
}

export type OnLost = 'term' | 'warn'

/** Those whose completion there is. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const

/** What was typed behind the name of a command. */
export interface Given<V> {
  readonly values: V
  readonly words: readonly string[]
  /** Behind `--`; `undefined`: there was none. */
  readonly command: readonly string[] | undefined
}

/** What a command does. @throws ExitError and the errors of the library */
export type Body<V> = (given: Given<V>) => Promise<Ending>

export interface Exit {
  readonly codes: string
  readonly when: string
}

export interface Command<V> {
  /** What is typed behind its name. */
  readonly usage: string
  /** In a line. */
  readonly summary: string
  /** Paragraphs. */
  readonly about: readonly string[]
  readonly options: Table<V>
  /** What its first word is, for shells that complete it. */
  readonly completes?: 'lock' | 'shell'
  /** Whether a command to run stands behind `--`. */
  readonly runs?: boolean
  readonly exits: readonly Exit[]
  readonly examples: readonly { readonly text: string; readonly line: string }[]
  /** Imported when it is used: the others must not make it start later. */
  readonly load: () => Promise<Body<V>>
}

const SECONDS = 'TIME is a number of seconds, or a number with a unit: 250ms, 30s, 5m, 1h.'

const COMMON: Table<Common> = {
  url: { value: 'URL', help: 'the coordinator; default: HOLDFAST_URL, or the store of this machine', read: text },
  json: { help: 'for programs: JSON in place of text' },
  help: { short: 'h', help: 'print this' },
}

const HOLD: Table<Omit<HoldValues, keyof Common>> = {
  ttl: { value: 'TIME', help: 'how long the lease lasts without renewal; default: 30', read: duration },
  'kill-after': {
    value: 'TIME',
    help: 'how long before its end, and after --max-time, the command may take to end; default: 5',
    read: duration,
  },
  signal: { value: 'SIG', help: 'how to ask it to end; default: TERM', read: signalName },
  'max-time': { value: 'TIME', help: 'end the command when it has run for so long', read: duration },
  command: { short: 'c', value: 'TEXT', help: 'what to run, as text for sh -c, in place of -- command', read: text },
  label: { value: 'TEXT', help: 'shown to whoever waits for the lock', read: text },
  quiet: { short: 'q', help: 'say nothing but errors' },
  verbose: { short: 'v', help: 'say what happens' },
}

const KIND: Option<QueueKind> = {
  value: 'KIND',
  choices: QUEUE_KINDS,
  help: `which queue of that name: ${QUEUE_KINDS.join(', ')}`,
  read: oneOf(QUEUE_KINDS),
}

const UNREACHABLE: Exit = {
  codes: `${EXIT.unavailable}`,
  when: 'the coordinator cannot be reached, or its store cannot be used',
}
const REACHED: readonly Exit[] = [
  { codes: `${EXIT.usage}`, when: 'usage' },
  UNREACHABLE,
  { codes: `${EXIT.ourBug}`, when: 'a bug of holdfast' },
  { codes: `${EXIT.denied}`, when: 'the coordinator refused access' },
  { codes: `${EXIT.config}`, when: 'a bad URL or set-up, a driver that is missing, or a Node that is too old' },
]

const OWN: Exit = { codes: "the command's own", when: 'it ran to its end; if a signal ended it, the same signal' }
const LOST: Exit = { codes: `${EXIT.lost}`, when: 'lost while the command ran, also if the command ended with 0' }
const OVER_TIME: Exit = { codes: `${EXIT.maxTime}`, when: 'the command was ended after its --max-time' }
const ENDED: readonly Exit[] = [
  OVER_TIME,
  { codes: `${EXIT.notExecutable}, ${EXIT.notFound}`, when: 'the command cannot be executed; is not found' },
  { codes: '130, 143', when: 'by INT or TERM, while it still waited; the place in the queue is given up' },
]

const ENVIRONMENT =
  'The command finds HOLDFAST_NAME, HOLDFAST_FENCE, HOLDFAST_MODE and HOLDFAST_EXPIRES (Unix time in milliseconds, at ' +
  'the start) in its environment. Its stdin and stdout are its own; holdfast speaks on stderr.'

const run: Command<RunValues> = {
  usage: 'NAME [options] -- command [argument...]',
  summary: 'hold a lock while a command runs',
  about: [
    'Hold the lock NAME while the command runs. If the lock is lost, the command and all that it has started are ended ' +
      'before anyone else can hold it: asked to (--signal) --kill-after before the end of the lease, killed at its end.',
    ENVIRONMENT,
    'Signals are handed on to the command. Once it has ended, a signal ends the wait for the coordinator and leaves the ' +
      'exit code as it is.',
    SECONDS,
  ],
  options: {
    wait: { short: 'w', value: 'TIME', help: 'wait so long for the lock; default: without end', read: duration },
    try: { short: 'n', help: 'do not wait: the same as --wait 0' },
    'conflict-exit-code': {
      short: 'E',
      value: 'N',
      help: 'exit code when it was not acquired; default: 75; 0 says nothing, for cron',
      read: exitCode,
    },
    shared: { short: 's', help: 'hold it together with other shared holders' },
    permits: { short: 'p', value: 'K/N', help: 'take K of the N permits of this name', read: permits },
    'min-hold': { value: 'TIME', help: 'others wait so long, however early the command ends', read: duration },
    'on-lost': {
      value: 'WHAT',
      choices: ['term', 'warn'],
      help: 'when the lock is lost: term ends the command; warn lets it run on; default: term',
      read: oneOf<OnLost>(['term', 'warn']),
    },
    ...HOLD,
    ...COMMON,
  },
  completes: 'lock',
  runs: true,
  exits: [
    OWN,
    { codes: `${EXIT.held}`, when: 'not acquired: busy with --try, or --wait ran out; -E changes it' },
    LOST,
    ...ENDED,
    ...REACHED,
  ],
  examples: [
    { text: 'a job of cron on three hosts, once', line: 'holdfast run report --try -E 0 --min-hold 5m -- ./report.sh' },
    { text: 'one of two permits', line: 'holdfast run gpu --permits 1/2 --wait 10m -- ./train.sh' },
    { text: 'a line for the shell', line: "holdfast run backup -c 'tar c data | gzip > data.tgz'" },
  ],
  load: async () => (await import('./commands/run.ts')).run,
}

const lead: Command<LeadValues> = {
  usage: 'NAME [options] -- command [argument...]',
  summary: 'run a command while it leads',
  about: [
    'Stand in the election NAME, and run the command while this process leads. When the command ends, the leadership is ' +
      'given up, and it campaigns again; one that has ended within ten seconds is started again after a pause, from one ' +
      'second up to a minute. INT, TERM, HUP and QUIT end the command, and then holdfast.',
    'If the leadership is lost, the command is ended before anyone else can lead, as by holdfast run.',
    ENVIRONMENT,
    SECONDS,
  ],
  options: {
    once: { help: 'end when the command ends, with its exit code' },
    value: { value: 'TEXT', help: 'what others see of the leader: an address, for example', read: text },
    ...HOLD,
    ...COMMON,
  },
  completes: 'lock',
  runs: true,
  exits: [
    { codes: "the command's own", when: 'of the last one, after a signal; with --once, of the first one' },
    {
      codes: `${EXIT.unavailable}, ${EXIT.lost}, ${EXIT.maxTime}`,
      when: 'with --once: unreachable; lost while the command ran; ended after its --max-time. Without, it campaigns again',
    },
    ...ENDED.filter((row) => row !== OVER_TIME),
    ...REACHED.filter((row) => row !== UNREACHABLE),
  ],
  examples: [
    { text: 'one scheduler among the pods', line: 'holdfast lead scheduler --value "$POD_IP" -- ./scheduler' },
  ],
  load: async () => (await import('./commands/lead.ts')).lead,
}

const ls: Command<LsValues> = {
  usage: '[GLOB] [options]',
  summary: 'list what is held',
  about: [
    'List all names that are held or waited for: who holds, since when, what is left of the lease, and how many wait.',
    'In GLOB, * stands for any characters and ? for one.',
  ],
  options: {
    all: { short: 'a', help: 'also each of those who wait' },
    quiet: { short: 'q', help: 'print the names only, one a line' },
    ...COMMON,
  },
  completes: 'lock',
  exits: [{ codes: '0', when: 'listed, also if nothing is held' }, ...REACHED],
  examples: [{ text: 'all that is deployed', line: "holdfast ls 'deploy/*'" }],
  load: async () => (await import('./commands/ls.ts')).ls,
}

const show: Command<ShowValues> = {
  usage: 'NAME [options]',
  summary: 'show who holds a name, and who waits for it',
  about: ['Show who holds NAME and who waits for it, in their order, and the command that would release it.'],
  options: { kind: KIND, ...COMMON },
  completes: 'lock',
  exits: [{ codes: '0', when: 'shown, also if nobody holds it' }, ...REACHED],
  examples: [{ text: 'who is in the way', line: 'holdfast show deploy/api' }],
  load: async () => (await import('./commands/show.ts')).show,
}

const watch: Command<WatchValues> = {
  usage: '[GLOB] [options]',
  summary: 'print what happens, as it happens',
  about: [
    'Print a line whenever somebody joins a queue, comes to hold, or is gone, until it is ended. It looks at all names ' +
      'once a second; what comes and goes between two looks is not seen.',
    SECONDS,
  ],
  options: { every: { value: 'TIME', help: 'how often to look; default: 1', read: duration }, ...COMMON },
  completes: 'lock',
  exits: [{ codes: '130, 143', when: 'it was ended by INT or TERM' }, ...REACHED],
  examples: [{ text: 'a log for a program', line: 'holdfast watch --json' }],
  load: async () => (await import('./commands/watch.ts')).watch,
}

const check: Command<CheckValues> = {
  usage: 'NAME [options]',
  summary: 'ask whether a name is free',
  about: ['Ask whether NAME is free at this moment, for scripts and probes. By the time that you act, it may not be.'],
  options: { kind: KIND, quiet: { short: 'q', help: 'say nothing but errors' }, ...COMMON },
  completes: 'lock',
  exits: [{ codes: '0', when: 'free' }, { codes: `${EXIT.held}`, when: 'held' }, ...REACHED],
  examples: [{ text: 'in a script', line: 'if holdfast check -q migrate; then echo idle; fi' }],
  load: async () => (await import('./commands/check.ts')).check,
}

const release: Command<ReleaseValues> = {
  usage: 'NAME --fence N [options]',
  summary: 'free what somebody else holds',
  about: [
    'End the hold, or the wait, of whoever drew the fence N, as holdfast show prints it. If that one is not there any ' +
      'more, nothing is changed, and it is said who holds now.',
    'The holder is told at its next renewal at the latest, and may go on until then: release what is known to be dead, or ' +
      'what writes to a resource that checks fences.',
  ],
  options: {
    fence: { value: 'N', help: 'the fence of whom to end, as show prints it', read: fence },
    kind: KIND,
    ...COMMON,
  },
  completes: 'lock',
  exits: [
    { codes: '0', when: 'released' },
    { codes: `${EXIT.held}`, when: 'that fence is not there; nothing was changed' },
    ...REACHED,
  ],
  examples: [{ text: 'a holder that is known to be dead', line: 'holdfast release deploy/api --fence 4711' }],
  load: async () => (await import('./commands/release.ts')).release,
}

const doctor: Command<Common> = {
  usage: '[options]',
  summary: 'look at the coordinator',
  about: [
    'Look at the coordinator with the eyes of somebody who must trust it: whether it is reached, and how quickly, its ' +
      'version, its settings that endanger locks, its clock, and whether this user may do all that a lock does.',
  ],
  options: COMMON,
  exits: [
    { codes: '0', when: 'well, perhaps with advice' },
    { codes: `${EXIT.config}`, when: 'a setting endangers what is promised; or a bad URL or set-up' },
    ...REACHED.filter(({ codes }) => codes !== String(EXIT.config)),
  ],
  examples: [{ text: 'before it is trusted', line: 'holdfast doctor --url redis://127.0.0.1' }],
  load: async () => (await import('./commands/doctor.ts')).doctor,
}

const verify: Command<VerifyValues> = {
  usage: '[options]',
  summary: 'attack what is promised, at your own coordinator',
  about: [
    'Start processes that take turns under locks of their own names, and do the worst to them: they are killed, stopped, ' +
      'starved and blocked, their connections cut, silenced and slowed. Then look at all that they saw, and say whether ' +
      'what is promised held. The coordinator itself is left alone, and so are the names of others.',
    'An early end, by INT or TERM, says what was found until then.',
    SECONDS,
  ],
  options: {
    minutes: { short: 'm', value: 'N', help: 'how long, about; default: 1', read: number },
    fault: {
      short: 'f',
      value: 'NAME,…',
      help: 'only these faults, one after the other; default: all, mixed',
      read: text,
    },
    each: { help: 'each fault by itself, in place of all of them mixed' },
    strikes: { value: 'N', help: 'how often each fault strikes at least; default: 1', read: count },
    seed: { value: 'N', help: 'the chance of an earlier run once more; default: another one each time', read: count },
    ttl: { value: 'TIME', help: 'how long leases last; default: 1, and 3 at etcd', read: duration },
    report: { value: 'FILE', help: 'write a page with timelines, for a browser', read: text },
    ...COMMON,
  },
  exits: [
    { codes: '0', when: 'held' },
    { codes: '1', when: 'violated: something that is promised was broken' },
    { codes: '2', when: 'it proved nothing: the coordinator could not be used, or a fault was not felt' },
    { codes: '130, 143', when: 'it was ended by INT or TERM' },
    ...REACHED,
  ],
  examples: [{ text: 'before it is trusted', line: 'holdfast verify --url redis://127.0.0.1 --report verify.html' }],
  load: async () => (await import('./commands/verify.ts')).verify,
}

const completion: Command<Pick<Common, 'help'>> = {
  usage: SHELLS.join('|'),
  summary: 'print what completes commands in a shell',
  about: ['Print a script that completes commands, options and the names of locks that are held, for your shell.'],
  options: { help: COMMON.help },
  completes: 'shell',
  exits: [
    { codes: '0', when: 'printed' },
    { codes: `${EXIT.usage}`, when: 'usage' },
  ],
  examples: [
    { text: 'in ~/.bashrc', line: 'eval "$(holdfast completion bash)"' },
    { text: 'in ~/.zshrc', line: 'eval "$(holdfast completion zsh)"' },
    { text: 'for fish', line: 'holdfast completion fish > ~/.config/fish/completions/holdfast.fish' },
  ],
  load: async () => (await import('./commands/completion.ts')).completion,
}

/** Whichever it is: what all of them have in common, and how its own words are read. */
export interface AnyCommand extends Omit<Command<unknown>, 'options' | 'load'> {
  readonly rows: readonly Row[]
  /** @param command behind `--` @throws ExitError 64 */
  read(args: readonly string[], command: readonly string[] | undefined): Order
}

/** What was typed, read; `start` does it. */
export interface Order {
  readonly values: Partial<Pick<HoldValues, 'help' | 'json' | 'verbose'>>
  start(): Promise<Ending>
}

function any<V extends Order['values']>({ options, load, ...rest }: Command<V>): AnyCommand {
  return {
    ...rest,
    rows: rowsOf(options),
    read(args, command) {
      const { values, words } = parse(options, args)
      return { values, start: async () => (await load())({ values, words, command }) }
    },
  }
}

export const COMMANDS: Readonly<Record<string, AnyCommand>> = {
  run: any(run),
  lead: any(lead),
  ls: any(ls),
  show: any(show),
  watch: any(watch),
  check: any(check),
  release: any(release),
  doctor: any(doctor),
  verify: any(verify),
  completion: any(completion),
}

/** What the program can be told without a command. */
export const PROGRAM: Table<{ readonly help: boolean; readonly version: boolean }> = {
  help: COMMON.help,
  version: { short: 'V', help: 'print the version' },
}
