import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // No test is a stopwatch: a slow machine must not fail one.
    testTimeout: 600_000,
    include: ['test/**/*.test.ts'],
    // Two workers in one process: the whole suite stays below a gigabyte.
    pool: 'threads',
    maxWorkers: 2,
    setupFiles: process.env['SHOOTDOWN_MUTANTS'] === undefined ? [] : ['test/invariants/report-error.ts'],
    coverage: {
      provider: 'v8',
      include: ['model/**/*.ts', 'impl/**/*.ts', 'properties/**/*.ts', 'trace/**/*.ts'],
      reporter: ['text', 'json-summary'],
      thresholds: {
        'model/**': { lines: 100, branches: 100 },
        'impl/**': { branches: 95 },
      },
    },
  },
});
