/** Numbers, times and events in words, for people. */
import type { Event } from '../history.ts'

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const fine = new Intl.NumberFormat('en', { maximumFractionDigits: 2 })

/** `12,345` */
export function count(value: number): string {
  return whole.format(value)
}

/** `1 grant`, `12,345 grants` */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

/** `1,234.56 ms` */
export function ms(value: number): string {
  return `${fine.format(value)} ms`
}

/** A time as it stands to another one: `+12.5 ms`, `−3 ms`, `0 ms`. */
export function offset(at: number, from: number): string {
  const text = fine.format(Math.abs(at - from))
  return `${text === '0' ? '' : at < from ? '−' : '+'}${text} ms`
}

/** `a`, `a and b`, `a, b and c` */
export function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`
}

/** Cut to so many characters, with a sign that something is missing. */
export function cut(text: string, length = 14): string {
  const characters = Array.from(text)
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`
}

/** What happened, said of its process. Times count from `from`. */
export function wordsOf(event: Event, from: number): string {
  switch (event.kind) {
    case 'ask':
      return `asks for "${event.name}"${event.waits ? ', and waits' : ''}`
    case 'granted':
      return `holds "${event.name}" with fence ${event.fence}${shapeOf(event)}, until ${offset(event.until, from)}`
    case 'deadline':
      return `renewed, until ${offset(event.until, from)}`
    case 'reshaped':
      return `takes less from now on: ${event.mode}, weight ${event.weight}`
    case 'checked':
      return 'asks whether it holds, and is told that it does'
    case 'released':
      return 'releases'
    case 'lost':
      return `is told of the loss by ${event.by === 'signal' ? 'its signal' : 'a check'}: ${event.reason}`
    case 'gave-up':
      return `does not get it: ${event.code}`
    case 'access': {
      const what = `"${event.register}" with fence ${event.fence}`
      return event.accepted ? `${event.does}s ${what}` : `is refused a ${event.does} of ${what}`
    }
    case 'crash':
      return 'is gone for good'
    case 'pause':
      return `${event.asleep ? 'sleeps' : 'stands still'} for ${ms(event.until - event.at)}`
    case 'fault':
      return `fault: ${event.what}`
    case 'healed':
      return 'the last fault is over'
    case 'entered':
      return `the coordinator puts ticket ${event.fence} into the queue of "${event.name}"`
    case 'holds':
      return `the coordinator lets ticket ${event.fence} hold "${event.name}"`
    case 'waits':
      return `the coordinator lets ticket ${event.fence} wait for "${event.name}"`
    case 'lightened':
      return `the coordinator lets ticket ${event.fence} take only ${event.weight} of "${event.name}"`
    case 'lingers':
      return `the coordinator keeps ticket ${event.fence} of "${event.name}", which is nobody's, until ${offset(event.until, from)}`
    case 'evicted':
      return `an operator evicts ticket ${event.fence} from "${event.name}"`
    case 'forgotten':
      return `the coordinator forgets "${event.name}", all of it by ${offset(event.until, from)}`
    case 'left':
      return `ticket ${event.fence} of "${event.name}" is gone from the coordinator`
    case 'residue':
      return `what is left: entries ${event.entries}, timers ${event.timers}, subscriptions ${event.subscriptions}`
    case 'end':
      return 'the recording ends'
  }
}

function shapeOf({ mode, weight, capacity }: Extract<Event, { kind: 'granted' }>): string {
  switch (mode) {
    case 'exclusive':
      return ''
    case 'shared':
      return ', shared'
    case 'permits':
      return `, ${weight} of ${capacity} permits`
  }
}
