import { defineConfig } from 'vitest/config'

/** What is too long even for the long trials: run before a release, on a machine that does nothing else. */
export default defineConfig({
  test: {
    include: ['test/**/*.sweep.test.ts'],
    testTimeout: 3_600_000,
    maxWorkers: 2,
  },
})
