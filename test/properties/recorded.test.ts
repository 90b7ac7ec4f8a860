/** Every recorded trace: the kernel's own answers are given here, too, and the format has room for all that it says. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { replay } from '../../properties/recorded.ts';
import { showTrace } from '../../trace/show-trace.ts';
import type { Trace } from '../../trace/trace.ts';
import { writeTrace, writeTraceLine } from '../../trace/write.ts';
import { modelDifference } from './recorded-model.ts';
import { RECORDINGS, type Recording, recordingsOf } from './recordings.ts';

/** Written by hand, with `flags` behind `as`. */
const OUT_OF_ORDER: readonly string[] = ['linux-7.2.13', 'linux-7.3.4'].map(
  (linux) => `${linux}/scenarios/export-checks.json`,
);

/** In what a replay differs from the recording; none is skipped. */
function replayDifference(trace: Trace): string | undefined {
  const verdict = replay(trace);
  if (verdict.verdict === 'skipped') return `skipped because of ${verdict.because}`;
  return verdict.verdict === 'agree' ? undefined : `step ${verdict.step}: ${verdict.details.join('; ')}`;
}

describe.each(RECORDINGS)('$path', ({ path, traces, steps }) => {
  // To parse them takes as long as to replay them: once is enough for all that is asked of them.
  let recordings: readonly Recording[] = [];
  beforeAll(() => {
    recordings = recordingsOf(path);
  });
  afterAll(() => {
    recordings = [];
  });

  /** Where something is the matter, and what. */
  const failures = (wrong: (recording: Recording) => string | undefined): string[] =>
    recordings.flatMap((recording) => {
      const found = wrong(recording);
      return found === undefined ? [] : [`${recording.where}: ${found}`];
    });

  test('all its traces and their steps are read', () => {
    expect(recordings).toHaveLength(traces);
    expect(recordings.reduce((sum, { trace }) => sum + trace.steps.length, 0)).toBe(steps);
  });

  test('replay of each trace gives the answers, reach and calls that the kernel gave', () => {
    expect(failures(({ trace }) => replayDifference(trace))).toEqual([]);
  });

  test('the model alone gives the answers and the reach of each trace', () => {
    expect(failures(({ trace }) => modelDifference(trace))).toEqual([]);
  });

  test('writing gives back each trace, byte for byte when its keys are in order', () => {
    const changed = recordings.filter(({ where, text, trace }) => {
      const written = where.endsWith('.json') ? writeTrace(trace) : writeTraceLine(trace);
      if (written !== text) expect(JSON.parse(written), where).toEqual(JSON.parse(text));
      return written !== text;
    });
    expect(changed).toEqual(recordings.filter(({ where }) => OUT_OF_ORDER.includes(where)));
  });

  test('showTrace fits a terminal of 110 columns', () => {
    expect(failures(({ trace }) => showTrace(trace).find((line) => line.length > 110))).toEqual([]);
  });
});
