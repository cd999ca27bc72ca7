/**
 * A rotating OAuth token that several processes share: whoever finds it old refreshes it, and all others read the result.
 *
 * To refresh with a refresh token that was used before would revoke the whole family of tokens.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { connect } from 'holdfast'

interface Token {
  readonly access: string
  readonly expiresAt: number
}

const path = process.argv[2] ?? 'token.json'
const locks = connect()

console.log(await accessToken())
await locks.close()

async function accessToken(): Promise<string> {
  const token = readToken()
  if (token && isFresh(token)) return token.access
  return locks.singleFlight('oauth:account-7', { wait: '20s' }, async (lease) => {
    // Somebody may have been here between the look above and the grant.
    const current = readToken()
    if (current && isFresh(current)) return current.access
    const next = await refresh(lease.signal)
    lease.assertHeld()
    writeToken(next)
    return next.access
  })
}

function readToken(): Token | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Token) : undefined
}

/** Whole or not at all, for those who read without the lock. */
function writeToken(token: Token): void {
  const temporary = `${path}.${process.pid}`
  writeFileSync(temporary, JSON.stringify(token))
  renameSync(temporary, path)
}

function isFresh(token: Token): boolean {
  return token.expiresAt > Date.now() + 60_000
}

/** The identity provider would be asked here. */
async function refresh(signal: AbortSignal): Promise<Token> {
  signal.throwIfAborted()
  return { access: `access-${process.pid}`, expiresAt: Date.now() + 3_600_000 }
}
