/** What the ways to hold a 64-bit value cost, for docs/decisions/0001-64-bit-values.md. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { collector } from './heap.ts';
import { median, rounds } from './rounds.ts';
import { printTable, times } from './table.ts';
import { CANDIDATES } from './units-candidates.ts';
import { bytesEach, loopsFor } from './units-loops.ts';
import { walks } from './units-walk.ts';

const ROUNDS = 5;
const MILLISECONDS = 40;

/** The last row is no time. */
const BYTES = 'bytes each, in an array';

type Costs = Readonly<Record<string, number>>;

export function units(): void {
  const columns = [...CANDIDATES.keys()].map((name) => [name, measureApart(name)] as const);
  const operations = Object.keys(columns[0]?.[1] ?? {});
  printTable(
    ['ns per operation', ...CANDIDATES.keys()],
    operations.map((operation) => [
      operation,
      ...columns.map(([, costs]) => (costs[operation] ?? Number.NaN).toFixed(1)),
    ]),
  );
  console.log('"double" is wrong above 2^53: it shows what exactness costs.\n');
  const competitors = walks();
  const costs = rounds(competitors, ROUNDS, MILLISECONDS).map(median);
  printTable(
    ['page-table walk, 4 levels', 'ns', 'ratio'],
    competitors.map(({ name }, i) => {
      const cost = costs[i] ?? Number.NaN;
      return [name, cost.toFixed(1), times(cost / (costs[0] ?? Number.NaN))];
    }),
  );
  console.log(`Medians of ${ROUNDS} rounds; each column of the first table comes from a process of its own.\n`);
}

/** Measure one candidate in another process. */
function measureApart(name: string): Costs {
  const { stdout, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), name], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`measuring "${name}" failed`);
  return JSON.parse(stdout) as Costs;
}

function measure(name: string): Costs {
  const candidate = CANDIDATES.get(name);
  if (candidate === undefined) throw new Error(`no candidate "${name}"`);
  const loops = candidate(loopsFor);
  const collect = collector();
  const competitors = [...loops].map(([operation, run]) => ({ name: operation, run }));
  const costs = rounds(competitors, ROUNDS, MILLISECONDS).map(median);
  const bytes = candidate((arithmetic) => bytesEach(arithmetic, collect));
  return { ...Object.fromEntries(competitors.map((it, i) => [it.name, costs[i] ?? Number.NaN])), [BYTES]: bytes };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(measure(process.argv[2] ?? '')));
