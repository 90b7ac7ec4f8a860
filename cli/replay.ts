/** `shootdown replay`: traces on both worlds, against each other and against what was recorded. */
import { FIRST_KERNEL, featuresOf } from '../impl/kernel/features.ts';
import { replay } from '../properties/recorded.ts';
import { TraceError } from '../trace/error.ts';
import { parseTrace, traceTexts } from '../trace/parse.ts';
import { readArguments } from './arguments.ts';
import { UsageError } from './usage.ts';

/** What became of all traces together. */
interface Tally {
  passed: number;
  failed: number;
  unreadable: number;
  readonly skipped: Map<string, number>;
}

export function replayFiles(args: readonly string[]): number {
  const { values, positionals } = readArguments('replay', args, {
    strict: { type: 'boolean' },
    kernel: { type: 'string' },
  });
  if (positionals.length === 0) throw new UsageError('replay takes files or folders');
  if (values.kernel !== undefined && featuresOf(values.kernel) === undefined) {
    throw new UsageError(
      `--kernel takes a version from ${FIRST_KERNEL} on, such as 7.2, or v4 or v4-literal, not "${values.kernel}"`,
    );
  }
  const tally: Tally = { passed: 0, failed: 0, unreadable: 0, skipped: new Map() };
  for (const path of positionals) {
    reading(tally, () => {
      for (const { where, text } of traceTexts(path)) reading(tally, () => judge(where, text, values.kernel, tally));
    });
  }
  const skipped = [...tally.skipped.values()].reduce((sum, n) => sum + n, 0);
  if (skipped > 0) {
    const reasons = [...tally.skipped].map(([step, n]) => `${step}: ${n}`);
    console.log(`${skipped} skipped (${reasons.join(', ')})`);
  }
  console.log(`${tally.passed} passed, ${tally.failed} failed`);
  if (tally.failed > 0) return 1;
  return tally.unreadable > 0 || (values.strict === true && skipped > 0) ? 2 : 0;
}

function judge(where: string, text: string, kernel: string | undefined, tally: Tally): void {
  const trace = parseTrace(text, where);
  const verdict = replay(trace, kernel);
  if (verdict.verdict === 'agree') {
    tally.passed++;
    if (verdict.remark !== undefined) console.log(`${where}: ${trace.name}: ${verdict.remark}`);
  } else if (verdict.verdict === 'skipped') {
    tally.skipped.set(verdict.because, (tally.skipped.get(verdict.because) ?? 0) + 1);
  } else {
    tally.failed++;
    console.log(`${where}: ${trace.name}: ${place(verdict.step)}: ${verdict.details.join('; ')}`);
  }
}

const place = (step: number | 'threads'): string => (step === 'threads' ? 'the threads' : `step ${step}`);

/** What cannot be read is said in a line, and does not keep the rest from being replayed. */
function reading(tally: Tally, read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    tally.unreadable++;
    console.error(`shootdown: ${error.message}`);
  }
}
