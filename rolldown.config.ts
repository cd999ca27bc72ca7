/**
 * The command as few files, in dist/bin, from the same sources as the library: reading sixty takes longer than running them.
 *
 * Not as ES modules, whose loader takes ten milliseconds to start. The guardian is apart, for it needs little and starts beside
 * every command.
 */
import { isAbsolute } from 'node:path'
import { defineConfig } from 'rolldown'

/**
 * Clients of servers bring much of Node with them: each is a file of its own, read when a URL asks for it. What verifies is seldom
 * asked for.
 */
const APART = /src\/(?:backends\/(?:redis|redlock|etcd)|quorum|verify|cli\/commands\/verify\.ts)/

const common = {
  platform: 'node' as const,
  // connect.ts is in the first file whoever asks for it; `import()` of it still runs it later.
  checks: { ineffectiveDynamicImport: false },
  external: (id: string): boolean => !id.startsWith('.') && !isAbsolute(id),
}
const output = { dir: 'dist/bin', format: 'cjs' as const, entryFileNames: '[name].cjs', chunkFileNames: '[name].cjs' }
const together = { name: 'holdfast', test: (id: string): boolean => !APART.test(id) }

export default defineConfig([
  { ...common, input: { main: 'src/cli/main.ts' }, output: { ...output, codeSplitting: { groups: [together] } } },
  { ...common, input: { guardian: 'src/cli/hold/guardian.ts' }, output },
])
