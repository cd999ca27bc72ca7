import { configDefaults, defineConfig } from 'vitest/config'

// `unit` shares one process per worker between files: quick, so a test leaves nothing behind.
// `processes` starts processes of its own, from dist/, one file after the other; so does `servers`, after it, with servers.
const processTests = 'test/**/*.proc.test.ts'
const serverTests = ['conformance', 'etcd', 'guards', 'proof', 'redis', 'redlock'].map(
  (folder) => `test/${folder}/**/*.proc.test.ts`,
)

const processes = {
  globalSetup: 'test/kit/servers.ts',
  pool: 'forks',
  fileParallelism: false,
  // Of a suite that mostly waits for leases to end, beside another one.
  maxConcurrency: 12,
  testTimeout: 120_000,
  hookTimeout: 120_000,
} as const

export default defineConfig({
  test: {
    reporters: ['default', './test/kit/closing-line.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, processTests],
          isolate: false,
        },
      },
      {
        test: {
          ...processes,
          name: 'processes',
          include: [processTests],
          exclude: [...configDefaults.exclude, ...serverTests],
        },
      },
      { test: { ...processes, name: 'servers', include: serverTests } },
    ],
  },
})
