/**
 * A migration at deploy: every replica starts it, one runs it, and the others wait until the schema is ready.
 *
 * The second look is what makes it right: whoever comes later finds the work done.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { connect } from 'holdfast'

const marker = process.argv[2] ?? 'schema-version'
const locks = connect()

await locks.run('migrate', { wait: '10m', label: 'deploy' }, async (lease) => {
  if (existsSync(marker)) return console.log('the schema is up to date')
  console.log('migrating')
  lease.assertHeld()
  writeFileSync(marker, '1')
})

await locks.close()
