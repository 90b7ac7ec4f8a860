/**
 * `npm run bench`, or `npm run bench -- steps units`: measure, and print tables. Each section runs in a process of its
 * own, so that none meets code that another has warmed up, or its heap, and has the form of the implementation that it
 * needs.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { areas } from './areas.ts';
import { crowds } from './crowd.ts';
import { instructions } from './instructions.ts';
import { memory } from './memory.ts';
import { schedules } from './schedules.ts';
import { startup } from './startup.ts';
import { steps } from './steps.ts';
import { units } from './units.ts';

const SECTIONS: ReadonlyMap<string, () => void | Promise<void>> = new Map(
  Object.entries({ steps, areas, crowds, memory, units, schedules, startup, instructions }),
);
/** `startup` runs the whole test suite, `instructions` needs valgrind: both are asked for by name. */
const DEFAULT = ['steps', 'areas', 'crowds', 'memory', 'units', 'schedules'];
/** They never have two threads, and use the implementation in its form for one processor, as `shootdown check` does. */
const ALONE: ReadonlySet<string> = new Set(['steps', 'areas', 'crowds', 'memory']);
const UNIPROCESSOR = new URL('../uniprocessor/register.ts', import.meta.url).href;

function printMachine(): void {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const [load = 0] = loadavg();
  console.log(`${model}, ${availableParallelism()} cores, load ${load.toFixed(2)}, node ${process.version}\n`);
}

function runApart(name: string): number {
  console.log(`=== ${name}\n`);
  const form = ALONE.has(name) ? ['--import', UNIPROCESSOR] : [];
  const args = [...form, fileURLToPath(import.meta.url), '--here', name];
  return spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1;
}

const args = process.argv.slice(2);
const unknown = args.filter((name) => name !== '--here' && !SECTIONS.has(name));
if (unknown.length > 0) {
  console.error(`bench: no section "${unknown.join(', ')}"; there are ${[...SECTIONS.keys()].join(', ')}`);
  process.exitCode = 2;
} else if (args[0] === '--here') {
  await SECTIONS.get(args[1] ?? '')?.();
} else {
  printMachine();
  for (const name of args.length > 0 ? args : DEFAULT) {
    if (runApart(name) !== 0) process.exitCode = 1;
  }
}
