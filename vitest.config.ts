import { globSync, readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Test files in which VFIO meets an iommufd that only remembers: they replace that module, and it alone. */
const replacing = globSync('test/**/*.test.ts').filter((file) => {
  const replaced = readFileSync(file, 'utf8').match(/(?<=vi\.mock\().*?(?=,)/g) ?? [];
  const another = replaced.find((module) => module !== "'../../impl/iommufd/device.ts'");
  if (another !== undefined) throw new Error(`${file} replaces ${another}: it would meet the modules of others`);
  return replaced.length > 0;
});

/** They replace functions of many modules while they run, which only the linking of vitest's own allows. */
const MUTANTS = 'test/mutants/*.test.ts';

/** What takes longest begins first, or one worker would be left with it at the end. A project keeps its workers. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ project, moduleId }: TestSpecification): number => {
      if (project.name !== 'sharing') return project.name === 'replacing' ? 0 : 1;
      if (moduleId.endsWith('/sequential.test.ts')) return 2;
      return /properties|interleave|explore/.exec(moduleId) === null ? 4 : 3;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    // No test is a stopwatch: a slow machine must not fail one. All schedules of a race may take a quarter of an hour.
    testTimeout: process.env['SHOOTDOWN_RACES'] === 'all' ? 0 : 600_000,
    hookTimeout: 600_000,
    // Two workers in one process: the whole suite stays below a gigabyte.
    pool: 'threads',
    maxWorkers: 2,
    // A worker's files, of one project, share its modules and the code that is compiled already: that halves the time.
    isolate: false,
    // Node itself imports the modules and strips their types, as for the command line. Not under coverage: branches of
    // a module that the mutants import in vitest's way, too, would count twice.
    experimental: { viteModuleRunner: process.argv.includes('--coverage') },
    sequence: { sequencer: LongestFirst },
    setupFiles: [
      'test/off-cpu.ts',
      ...(process.env['SHOOTDOWN_MUTANTS'] === undefined ? [] : ['test/invariants/report-error.ts']),
    ],
    projects: [
      { extends: true, test: { name: 'sharing', include: ['test/**/*.test.ts'], exclude: [...replacing, MUTANTS] } },
      { extends: true, test: { name: 'replacing', include: replacing } },
      { extends: true, test: { name: 'mutants', include: [MUTANTS], experimental: { viteModuleRunner: true } } },
    ],
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
