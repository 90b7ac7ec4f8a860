/** Traces with faults: written by what fails, read again, replayed and shown. */
import { expect, test } from 'vitest';
import { isErrno } from '../../impl/kernel/errno.ts';
import { FdTable } from '../../impl/kernel/file.ts';
import type { Divergence } from '../../properties/divergence.ts';
import { checkFaults } from '../../properties/faults/property.ts';
import { MACHINES } from '../../properties/machines.ts';
import { replay } from '../../properties/recorded.ts';
import { regressionOf, reportOf } from '../../properties/regression.ts';
import { parseTrace } from '../../trace/parse.ts';
import { showTrace } from '../../trace/show-trace.ts';
import type { Fault, Step, Trace } from '../../trace/trace.ts';
import { writeTrace } from '../../trace/write.ts';

const MACHINE = MACHINES.get('two devices') as Trace['machine'];
const trace = (...steps: readonly Step[]): Trace => {
  const whole: Trace = { version: 2, name: 'faults', kernel: '7.2', machine: MACHINE, steps };
  return parseTrace(writeTrace(whole), 'a file');
};
const open: Step = { command: { do: 'iommufd_open', as: 'ctx0' } };
const alloc: Step = { command: { do: 'ioas_alloc', ctx: 'ctx0', as: 'a0' } };
const memory: Step = { command: { do: 'mem_alloc', as: 'm0', length: 0x2000n } };
const map: Step = {
  command: { do: 'ioas_map', ioas: 'a0', mem: 'm0', offset: 0n, length: 0x1000n, prot: 'rw', iova: 0x100_0000n },
};
const failing = (step: Step, site: string, nth = 1): Step => ({ ...step, fault: { site, nth } });

test('a fault fails its step and no other; the same step then succeeds', () => {
  const noMemory: Step = { ...failing(map, 'iopt_area_alloc'), result: { err: 'ENOMEM' } };
  expect(replay(trace(open, alloc, memory, noMemory, map))).toEqual({ verdict: 'agree', steps: 5 });
});

test('a map of which the caller is not told is there, in both worlds, wherever it was put', () => {
  const { iova: _, ...anywhere } = map.command as Extract<Step['command'], { do: 'ioas_map' }>;
  const untold: Step = { ...failing({ command: anywhere }, 'copy_to_user'), result: { err: 'EFAULT' } };
  const unmap: Step = { command: { do: 'ioas_unmap', ioas: 'a0', iova: 0n, length: 2n ** 64n - 1n } };
  const removed: Step = { ...unmap, result: { ok: { length: 0x1000n } } };
  expect(replay(trace(open, alloc, memory, untold, removed))).toEqual({ verdict: 'agree', steps: 5 });
});

test.each<[what: string, fault: Fault, says: string]>([
  [
    'is passed less often',
    { site: 'iopt_area_alloc', nth: 2 },
    'the fault is not met: iopt_area_alloc is passed 1 times',
  ],
  ['the step never passes', { site: 'mm_alloc', nth: 1 }, 'the fault is not met: mm_alloc is passed 0 times'],
  ['is none', { site: 'nowhere', nth: 1 }, 'the fault is not met: nowhere is passed 0 times'],
])('a fault at a point that %s is a disagreement', (_, fault, says) => {
  const verdict = replay(trace(open, alloc, memory, { ...map, fault }));
  expect(verdict).toMatchObject({ verdict: 'disagree', step: 4 });
  expect(verdict).toHaveProperty('details', expect.arrayContaining([says]));
});

test('a recorded answer that the fault does not give is a disagreement', () => {
  const wrong: Step = { ...failing(map, 'iopt_area_alloc'), result: { err: 'EFAULT' } };
  expect(replay(trace(open, alloc, memory, wrong))).toMatchObject({ verdict: 'disagree', step: 4 });
});

test('a file that leaks for want of a descriptor is found, shrunk, written, shown, and found by replay', () => {
  const { prototype } = FdTable;
  const right = prototype.install;
  prototype.install = function (file) {
    const fd = right.call(this, file);
    if (isErrno(fd)) file.get();
    return fd;
  };
  try {
    const failure = checkFaults({ seed: 1, runs: 300, longest: 40 }).failure as Divergence;
    const { trace: kept } = regressionOf(failure);
    const again = parseTrace(writeTrace(kept), 'a file');
    expect(again.steps).toEqual(kept.steps);
    const faults = again.steps.flatMap(({ fault }) => fault ?? []);
    expect(faults).toHaveLength(1);
    const [fault] = faults as [Fault];
    expect(showTrace(again).join('\n')).toContain(`fault  ${fault.site}, number ${fault.nth}`);
    expect(reportOf(failure, 'file').join('\n')).toContain(`with a fault at ${fault.site}, passage ${fault.nth}`);
    expect(again.steps.length).toBeLessThanOrEqual(7);
    expect(replay(again)).toMatchObject({ verdict: 'disagree', details: [failure.breach, ...failure.details] });
  } finally {
    prototype.install = right;
  }
});
