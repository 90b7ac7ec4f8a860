/** The recorded traces, by folder or file, and how much there is of them: a trace that gets lost is missed. */
import { fileURLToPath } from 'node:url';
import { parseTrace, readTraces, type TraceFile, traceTexts } from '../../trace/parse.ts';
import type { Trace } from '../../trace/trace.ts';

const TRACES = fileURLToPath(new URL('../traces/', import.meta.url));

export interface Recordings {
  readonly path: string;
  readonly traces: number;
  readonly steps: number;
}

export const RECORDINGS: readonly Recordings[] = [
  { path: 'linux-7.2.13/core.jsonl', traces: 420, steps: 8914 },
  { path: 'linux-7.2.13/breadth.jsonl', traces: 420, steps: 10_772 },
  { path: 'linux-7.2.13/bad-input.jsonl', traces: 420, steps: 8833 },
  { path: 'linux-7.2.13/lifecycle.jsonl', traces: 418, steps: 10_205 },
  { path: 'linux-7.2.13/mock.jsonl', traces: 420, steps: 7681 },
  { path: 'linux-7.2.13/scenarios', traces: 110, steps: 1681 },
  { path: 'linux-7.3.4', traces: 178, steps: 3776 },
  { path: 'selftests', traces: 39, steps: 2929 },
];

/** A trace as it is parsed, and the text that it was parsed from. */
export interface Recording extends TraceFile {
  readonly text: string;
}

/** Every trace of a file, or of a folder and the folders in it; `where` is from test/traces on. */
export const recordingsOf = (path: string): Recording[] =>
  [...traceTexts(`${TRACES}${path}`)].map(({ where, text }) => ({
    where: where.slice(TRACES.length),
    text,
    trace: parseTrace(text, where),
  }));

/** A trace that is known to agree, to be spoilt. */
export function scenario(name: string): Trace {
  for (const { trace } of readTraces(`${TRACES}linux-7.2.13/scenarios/${name}.json`)) return trace;
  throw new Error(`the scenario ${name} is gone`);
}
