/** A copy of the repository with one bug in it at a time, and vitest running one test there. */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Edit, Test } from './row.ts';

/** How a test ended; `why` is what it says itself, in a line. */
export interface Ended {
  readonly how: 'passed' | 'failed' | 'did not run';
  readonly why: string;
}

/** What a bug may lead to that proves nothing: code that cannot be loaded, or that breaks where it stands. */
const CRASH = /^(Syntax|Type|Reference|Range)Error\b/;
const PROPERTY = 'Error: Property failed';
/** What a property that fails says of the last failure. */
const GOT = /^Got (.*)$/m;
/** Milliseconds; a bug may make a loop endless. */
const PATIENCE = 120_000;

export interface Assertion {
  readonly fullName: string;
  readonly status: string;
  readonly failureMessages: readonly string[];
}

/** What vitest reports of a file. */
interface Reported {
  readonly message: string;
  readonly assertionResults: readonly Assertion[];
}

export class Copy {
  readonly #root: string;
  #child: ReturnType<typeof spawn> | undefined;

  /** All files of the repository at `from` that git does not ignore, as they are now. */
  constructor(from: string) {
    this.#root = mkdtempSync(join(tmpdir(), 'shootdown-mutants-'));
    const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: from,
      encoding: 'utf8',
    });
    const files = listed.split('\0').filter((file) => file !== '' && existsSync(join(from, file)));
    for (const file of new Set(files)) cpSync(join(from, file), join(this.#root, file));
    symlinkSync(join(from, 'node_modules'), join(this.#root, 'node_modules'));
  }

  remove(): void {
    this.#child?.kill('SIGKILL');
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** Run `work` with the edit made, and then take it back. */
  async with<T>({ file, from, to }: Edit, work: () => Promise<T>): Promise<T> {
    const path = join(this.#root, file);
    const right = readFileSync(path, 'utf8');
    writeFileSync(
      path,
      right.replace(from, () => to),
    );
    try {
      return await work();
    } finally {
      writeFileSync(path, right);
    }
  }

  /** Run these tests and no others; how each ended, in their order. */
  async run(tests: readonly Test[]): Promise<Ended[]> {
    const report = join(this.#root, 'report.json');
    rmSync(report, { force: true });
    const files = [...new Set(tests.map(({ file }) => file))];
    const titles = [...new Set(tests.map(({ title }) => patternOf(title)))];
    await this.#vitest([...files, '-t', `^(${titles.join('|')})$`, '--reporter=json', `--outputFile=${report}`]);
    if (!existsSync(report)) return tests.map(() => ({ how: 'did not run', why: 'vitest has said nothing' }));
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as { readonly testResults: readonly Reported[] };
    const messages = testResults.map(({ message }) => firstLine(message)).filter((line) => line !== '');
    const assertions = testResults.flatMap(({ assertionResults }) => assertionResults);
    return tests.map(({ title }) => ended(assertions, title, messages[0] ?? 'no test has this title'));
  }

  #vitest(args: readonly string[]): Promise<void> {
    const vitest = join(this.#root, 'node_modules/vitest/vitest.mjs');
    return new Promise((resolve) => {
      const env = { ...process.env, SHOOTDOWN_MUTANTS: '1' };
      const options = { cwd: this.#root, env, stdio: 'ignore', timeout: PATIENCE, killSignal: 'SIGKILL' } as const;
      const child = spawn(process.execPath, [vitest, 'run', ...args], options);
      this.#child = child;
      child.on('exit', () => resolve());
      child.on('error', () => resolve());
    });
  }
}

/** What the report says of the one test with this title; `otherwise`, if there is none. */
export function ended(assertions: readonly Assertion[], title: string, otherwise: string): Ended {
  const found = assertions.filter(({ fullName, status }) => fullName === title && status !== 'skipped');
  if (found.length !== 1) {
    return { how: 'did not run', why: found.length === 0 ? otherwise : `${found.length} tests have this title` };
  }
  const { status, failureMessages } = found[0] as Assertion;
  const message = failureMessages[0] ?? '';
  const why = (message.startsWith(PROPERTY) && GOT.exec(message)?.[1]) || firstLine(message);
  if (status === 'passed') return { how: 'passed', why };
  return { how: status === 'failed' && !CRASH.test(why) ? 'failed' : 'did not run', why: why || status };
}

/** Just this title; vitest sets it apart from the title of its describe by `>`. */
export const patternOf = (title: string): string =>
  title.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&').replaceAll(' ', '(?: >)? ');

const firstLine = (text: string): string => text.split('\n')[0]?.trim() ?? '';
