/** `--kernel` overrules the version of every trace; without it, a trace's own counts. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { replayFiles } from '../../cli/replay.ts';
import { UsageError } from '../../cli/usage.ts';
import { replay, type Verdict } from '../../properties/recorded.ts';
import { readTraces } from '../../trace/parse.ts';
import type { Trace } from '../../trace/trace.ts';

/** A buffer is mapped, revoked and unmapped; kernels from 7.1 to 7.1.4 warn when they release it (V4). */
const recorded = (): Trace => {
  const path = new URL('../traces/linux-7.2.13/scenarios/revoke-with-two-domains.json', import.meta.url);
  for (const { trace } of readTraces(fileURLToPath(path))) return trace;
  throw new Error('the scenario is gone');
};

const forKernel = (kernel?: string): Trace => {
  const { recorded: _, ...trace } = recorded();
  return { ...trace, version: 2, ...(kernel !== undefined && { kernel }) };
};

test.each<[what: string, trace: Trace, overruled: string | undefined, verdict: Verdict['verdict']]>([
  ['recorded on 7.2.13, as itself', recorded(), undefined, 'agree'],
  ['recorded on 7.2.13, overruled by 6.19', recorded(), '6.19', 'agree'],
  ['recorded on 7.2.13, overruled by 7.1.4', recorded(), '7.1.4', 'disagree'],
  ['for no kernel', forKernel(), undefined, 'agree'],
  ['for no kernel, overruled by 7.1', forKernel(), '7.1', 'disagree'],
  ['for 7.1.4', forKernel('7.1.4'), undefined, 'disagree'],
  ['for 7.1.4, overruled by 7.3', forKernel('7.1.4'), '7.3', 'agree'],
])('replay of a trace %s', (_, trace, overruled, verdict) => {
  expect(replay(trace, overruled).verdict).toBe(verdict);
});

test('replay of a trace for a kernel that has no dma-bufs says which', () => {
  expect(replay(forKernel('5.15'))).toEqual({ verdict: 'skipped', because: 'kernel 5.15' });
});

test.each(['seven', '7', '5.15', 'v3'])(
  'replay --kernel %s refuses in one line, before it reads anything',
  (version) => {
    const refused = (): number => replayFiles(['--kernel', version, '/nowhere']);
    expect(refused).toThrow(UsageError);
    expect(refused).toThrow(
      `--kernel takes a version from 6.19 on, such as 7.2, or v4 or v4-literal, not "${version}"`,
    );
  },
);
