/** An authority of our own, and certificates of it: for a server at 127.0.0.1 and at no other name, and for a client. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** @param directory gets `ca.crt`, `server.crt`, `server.key`, `client.crt`, `client.key` */
export function certify(directory: string): void {
  const openssl = (...words: string[]): unknown => execFileSync('openssl', words, { cwd: directory, stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...key, '-days', '2', '-subj', '/CN=holdfast tests', '-keyout', 'ca.key', '-out', 'ca.crt')
  writeFileSync(join(directory, 'names'), 'subjectAltName=IP:127.0.0.1')
  const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names']
  for (const who of ['server', 'client']) {
    openssl('req', ...key, '-subj', `/CN=${who}`, '-keyout', `${who}.key`, '-out', `${who}.csr`)
    openssl('x509', '-req', '-in', `${who}.csr`, ...signed, '-out', `${who}.crt`)
  }
}
