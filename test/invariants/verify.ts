/**
 * `npm run mutants`: puts each bug of the table into a copy of the repository, and runs the test that must find it. A
 * test that passes all the same proves nothing of its invariant.
 */
import { fileURLToPath } from 'node:url';
import { ALL_ROWS } from './documents.ts';
import { Copy, type Ended } from './mutate.ts';
import type { Proof, Row } from './row.ts';

const USAGE = `usage: npm run mutants [-- NUMBER...]

  Puts each bug of docs/invariants.md into a copy of this repository and runs the test that must fail then.
  With numbers, such as I-16 I-17, only those of these rules. A few minutes for all.

exit code: 0 all were found, 1 one was not, or its test did not run, 2 bad input`;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface Mutant extends Proof {
  readonly id: string;
}

const mutantsOf = (rows: readonly Row[]): Mutant[] =>
  rows.flatMap(({ id, proofs }) => proofs.map((proof) => ({ id, ...proof })));

/** The rows that the arguments ask for; a line that says what is wrong with them. */
function asked(args: readonly string[]): readonly Row[] | string {
  const unknown = args.find((arg) => !ALL_ROWS.some(({ id }) => id === arg));
  if (unknown !== undefined) return `mutants: there is no invariant "${unknown}"; see npm run mutants -- --help`;
  return args.length === 0 ? ALL_ROWS : ALL_ROWS.filter(({ id }) => args.includes(id));
}

/** A line that is written over, on a terminal only. */
function progress(line: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r${line.slice(0, 78).padEnd(78)}\r`);
}

/** Whether each test passes without its bug; says which does not. */
async function allPass(copy: Copy, mutants: readonly Mutant[]): Promise<boolean> {
  progress('without any bug');
  const ends = await copy.run(mutants.map(({ test }) => test));
  progress('');
  const broken = ends.flatMap(({ how, why }, i) => (how === 'passed' ? [] : [{ ...(mutants[i] as Mutant), how, why }]));
  for (const { id, test, how, why } of broken) say(`${id} ${how} without its bug: ${test.title} (${why})`);
  return broken.length === 0;
}

const VERDICT: Readonly<Record<Ended['how'], string>> = {
  failed: 'killed',
  passed: 'SURVIVED',
  'did not run': 'did not run',
};

async function verify(copy: Copy, mutants: readonly Mutant[]): Promise<number> {
  if (!(await allPass(copy, mutants))) return 1;
  const started = performance.now();
  let killed = 0;
  for (const [i, { id, bug, edit, test }] of mutants.entries()) {
    progress(`${i + 1} of ${mutants.length}, ${id}, ${((performance.now() - started) / 1000).toFixed(0)} s`);
    const [{ how, why }] = (await copy.with(edit, () => copy.run([test]))) as [Ended];
    if (how === 'failed') killed++;
    progress('');
    say(`${id} ${VERDICT[how]}: ${bug}${how === 'passed' ? `; ${test.title}` : ` (${why.slice(0, 120)})`}`);
  }
  say(`${killed} killed, ${mutants.length - killed} survived`);
  return killed === mutants.length ? 0 : 1;
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    say(USAGE);
    return 0;
  }
  const rows = asked(args);
  if (typeof rows === 'string') {
    console.error(rows);
    return 2;
  }
  const mutants = mutantsOf(rows);
  if (mutants.length === 0) {
    say(`${rows.map(({ id }) => id).join(', ')}: no bug is listed yet`);
    return 0;
  }
  const copy = new Copy(ROOT);
  process.once('SIGINT', () => {
    copy.remove();
    process.exit(130);
  });
  try {
    return await verify(copy, mutants);
  } finally {
    copy.remove();
  }
}

process.exitCode = await main(process.argv.slice(2));
