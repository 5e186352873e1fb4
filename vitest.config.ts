import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/*.slow.test.ts'],
    testTimeout: 30_000,
    // The suite starts real processes and the target machine has two cores.
    maxWorkers: 2,
  },
})
