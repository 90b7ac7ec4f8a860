/**
 * A failure as a trace that can be kept: commands and machine, not answers, because it must agree with the model as
 * that is when it is replayed. Its name says what is broken, and its content; so the same failure twice makes one file.
 */
import { createHash } from 'node:crypto';
import { showCommand, showResult } from '../trace/show.ts';
import type { Trace } from '../trace/trace.ts';
import { writeTrace } from '../trace/write.ts';
import type { Divergence } from './divergence.ts';

export interface Regression {
  /** Without folder: `never-mapped-while-revoked-1a2b3c4d.json`. */
  readonly file: string;
  readonly trace: Trace;
}

/** The trace of a divergence that was met on a walk. */
export function regressionOf({ breach, world, details }: Divergence): Regression {
  if (world === undefined) throw new Error('a divergence that happened in no world');
  const { config, kernel, history } = world;
  const steps = history.map(({ command, fault }) => ({ command, ...(fault && { fault }) }));
  return regressionNamed(breach, details[0], (name) => ({ version: 2, name, kernel, machine: config, steps }));
}

/** A trace under the name that is made of the breach, and of the trace without its name. */
export function regressionNamed(
  breach: string,
  detail: string | undefined,
  traceNamed: (name: string) => Trace,
): Regression {
  const slug = breach.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const hash = createHash('sha256')
    .update(writeTrace(traceNamed(slug)))
    .digest('hex')
    .slice(0, 8);
  const name = `${slug}-${hash}`;
  const about = `${breach}: ${detail ?? 'found by random sequences'}`;
  return { file: `${name}.json`, trace: { ...traceNamed(name), about } };
}

/** The failure for a person: every step with its answer, what is wrong, and how to see it again if it is in a file. */
export function reportOf(divergence: Divergence, file?: string): string[] {
  const history = divergence.world?.history ?? [];
  const shown = history.map(({ command }) => showCommand(command));
  const width = Math.min(Math.max(0, ...shown.map((line) => line.length)), 84);
  const lines = history.map(({ result, fault }, i) => {
    const answer = result === undefined ? 'did not return' : showResult(result);
    const failing = fault === undefined ? '' : ` with a fault at ${fault.site}, passage ${fault.nth}`;
    return `  ${String(i + 1).padStart(3)}  ${(shown[i] as string).padEnd(width)}  ${answer}${failing}`;
  });
  return [
    `BROKEN: ${divergence.breach}, after ${history.length} steps, behaving as Linux ${divergence.world?.kernel}`,
    '',
    ...lines,
    '',
    ...divergence.message.split('\n'),
    ...(file === undefined ? [] : ['', `replay it:  npx shootdown replay ${file}`]),
  ];
}
