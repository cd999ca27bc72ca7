import { configDefaults, defineConfig } from 'vitest/config'

// `unit` shares one process per worker between files: quick, so a test leaves nothing behind.
// `processes` starts processes of its own, from dist/, and has the machine to itself.
const processTests = 'test/**/*.proc.test.ts'

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
          name: 'processes',
          globalSetup: 'test/kit/servers.ts',
          include: [processTests],
          pool: 'forks',
          fileParallelism: false,
          // Of a suite that mostly waits for leases to end.
          maxConcurrency: 20,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
