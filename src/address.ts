/** What the addresses of servers have in common, taken apart by hand: `URL` knows one host. */

export interface Address {
  readonly host: string
  readonly port: number
}

/** Makes the error for an address that is wrong. */
export type Wrong = (text: string) => Error

/** An address as it may be shown: without user and password. */
export function shown(url: string): string {
  return url.replace(/\/\/.*@/, '//…@')
}

/** Of percent-encoding. */
export function decoded(text: string, wrong: Wrong): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong('a % in it is no percent-encoding; write %25 for a percent sign')
  }
}

/** `host`, `host:port`, `[::1]:port`, with commas between them. @param port of those that name none */
export function addressesOf(hosts: string, port: number, wrong: Wrong): Address[] {
  return hosts.split(',').map((text) => {
    const match = /^(\[[\da-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(text)
    if (!match) throw wrong(`'${hosts}' is no list of hosts; write host:port,host:port`)
    return { host: match[1]!.replaceAll(/[[\]]/g, ''), port: match[2] === undefined ? port : Number(match[2]) }
  })
}

/** What stands behind the question mark, decoded. @param known each with a value, for the message */
export function askedFor(
  query: string | undefined,
  known: Readonly<Record<string, string>>,
  wrong: Wrong,
): ReadonlyMap<string, string> {
  const asked = new Map<string, string>()
  for (const pair of query?.split('&') ?? []) {
    const [key = '', value = ''] = pair.split('=', 2)
    if (!Object.hasOwn(known, key)) {
      const pairs = Object.entries(known).map((each) => each.join('='))
      throw wrong(`it knows ?${pairs.join('&')} and nothing else behind a question mark`)
    }
    if (asked.has(key)) throw wrong(`${key} is there twice`)
    asked.set(key, decoded(value, wrong))
  }
  return asked
}
