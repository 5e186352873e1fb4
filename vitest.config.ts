import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/*.slow.test.ts', 'test/**/*.sweep.test.ts'],
    testTimeout: 30_000,
    // The suite starts real processes on two cores, and often waits for them.
    maxWorkers: 3,
    // One process for many files: starting Node and loading the sources anew for each would take a tenth of the time.
    isolate: false,
  },
})
