/**
 * How many instructions a checked step takes. Times on a machine that others use differ by a tenth from one minute to
 * the next; instructions do not. Counted by callgrind, in a process of one thread, which compiles at the same places
 * every time; so a change of one in a hundred shows.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CodeMap, instructionsOf } from './callgrind.ts';
import { percent, printTable, whole } from './table.ts';

/** Batches that are taken before anything is counted, and those that are. */
const WARMING_UP = 30;
const COUNTED = 12;
/** The functions that are told of. */
const MOST = 40;
const WIDEST = 90;
const PROJECT = new URL('..', import.meta.url).href;

const ENGINE = ['--single-threaded', '--predictable', '--perf-basic-prof'];
const UNIPROCESSOR = new URL('../uniprocessor/register.ts', import.meta.url).href;
const WALK = fileURLToPath(new URL('instructions-walk.ts', import.meta.url));

export async function instructions(): Promise<void> {
  try {
    execFileSync('valgrind', ['--version']);
  } catch {
    console.error('bench: instructions are counted by valgrind, which is not installed');
    process.exitCode = 2;
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'instructions-'));
  try {
    const { steps, pid } = await count(folder);
    const code = new CodeMap(join(folder, `perf-${pid}.map`));
    report(steps, named(instructionsOf(join(folder, 'callgrind')), code));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Count the instructions of some batches, into the folder; how many steps those were, and which process took them. */
async function count(folder: string): Promise<{ steps: number; pid: number | undefined }> {
  const valgrind = ['--tool=callgrind', '--instr-atstart=no', '--smc-check=all-non-file', '--quiet'];
  const node = [...ENGINE, `--perf-basic-prof-path=${folder}`, '--no-logfile-per-isolate', '--logfile=/dev/null'];
  const walk = ['--import', UNIPROCESSOR, WALK, String(WARMING_UP), String(COUNTED)];
  const out = `--callgrind-out-file=${join(folder, 'callgrind')}`;
  const child = spawn('valgrind', [...valgrind, out, process.execPath, ...node, ...walk], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  console.log(`Some four minutes: ${WARMING_UP} batches to warm up, and ${COUNTED} that are counted.`);
  let steps = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'warm') startCounting(child);
    else steps = Number(line);
  }
  return { steps, pid: child.pid };
}

function startCounting({ pid, stdin }: ChildProcess): void {
  execFileSync('callgrind_control', ['-i', 'on', String(pid)], { stdio: 'ignore' });
  stdin?.write('go\n');
}

/** By the names of functions; an address that has none stays as it is. */
function named(found: ReadonlyMap<string, number>, code: CodeMap): Map<string, number> {
  const byName = new Map<string, number>();
  for (const [key, count] of found) {
    const plain = key.replace(/'\d+$/, ''); // As deep as it was called by itself.
    const name = plain.startsWith('0x') ? (code.at(Number(plain)) ?? 'unknown code') : plain;
    byName.set(name, (byName.get(name) ?? 0) + count);
  }
  return byName;
}

const COMPILERS = 'compilers';
const COLLECTOR = 'garbage collector';
/** What functions are, by their names; the first that fits. */
const KINDS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['JavaScript, optimized', /^JS:\*/],
  ['JavaScript, compiled quickly', /^JS:[+^]/],
  ['JavaScript, interpreted', /^JS:|_Handler$|InterpreterEntry/],
  ['functions that are built in', /Builtins_|^Builtin:/],
  [
    COMPILERS,
    /compiler|maglev|turboshaft|baseline|interpreter|Bytecode|Pars|Scanner|Zone|Deopt|Feedback|RelocI|Assembl/,
  ],
  [COLLECTOR, /Scaveng|Mark|Sweep|Heap::|heap::|Evacu|Remembered|Migrat|memcpy|memmove|memset/],
];
const kindOf = (name: string): string => KINDS.find(([, pattern]) => pattern.test(name))?.[0] ?? 'rest of the engine';

function report(steps: number, found: ReadonlyMap<string, number>): void {
  const byKind = new Map<string, number>();
  for (const [name, count] of found) byKind.set(kindOf(name), (byKind.get(kindOf(name)) ?? 0) + count);
  const all = [...found.values()].reduce((sum, count) => sum + count, 0);
  const row = ([name, count]: readonly [string, number]): string[] => [
    name.replace(PROJECT, '').slice(0, WIDEST),
    whole(count / steps),
    percent(count / all),
  ];
  const most = ([, a]: readonly [string, number], [, b]: readonly [string, number]): number => b - a;
  printTable(['where', 'instructions a step', 'share'], [...byKind].sort(most).map(row));
  printTable(['function', 'instructions a step', 'share'], [...found].sort(most).slice(0, MOST).map(row));
  const taken = (kind: string): number => (byKind.get(kind) ?? 0) / steps;
  const [compilers, collector] = [taken(COMPILERS), taken(COLLECTOR)];
  console.log(
    `${whole(steps)} steps of the stated mix, each ${whole(all / steps - compilers - collector)} instructions; and ` +
      `${whole(compilers)} of compilers, which have ever less to do, and ${whole(collector)} of the collector.\n`,
  );
}
