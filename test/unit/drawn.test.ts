/** Traces with threads, drawn: under their schedule, and with the fault where it strikes. */
import { expect, test } from 'vitest';
import { drawTrace } from '../../properties/drawn.ts';
import type { Step, Trace } from '../../trace/trace.ts';
import { map, off, traceOf } from './threads-rig.ts';

test('threads are drawn under their schedule, with what each call answers and when it runs', () => {
  const lines = drawTrace(traceOf([[{ command: map }], [{ command: off }]], [{ after: 1, to: 1 }]));
  expect(lines.slice(0, 5)).toEqual([
    'branch 1',
    '  map b+0x0 length 0x1000 at 0x1000000 in a  ENODEV, steps 1 to 7',
    'branch 2',
    '  turn memory of dev0 off                    ok, steps 2 to 6',
    '',
  ]);
  expect(lines.slice(5, 9)).toEqual([
    '      branch 1  branch 2',
    '   1  begins',
    '  >2            begins',
    '   3            ┌ dev0.memory_lock(W)',
  ]);
});

/** The lines of a drawing that are not of the calls before it. */
const drawn = (trace: Trace): string => drawTrace(trace).join('\n');

test('a call that fails while a revoke runs is drawn with the fault where it strikes, among what it lets go of', () => {
  const failing = (site: string): Step => ({ command: map, fault: { site, nth: 1 } });
  expect(
    drawn(traceOf([[failing('iopt_area_alloc')], [{ command: off }]], [{ after: 4, to: 1 }])),
  ).toMatchInlineSnapshot(`
    "call
      map b+0x0 length 0x1000 at 0x1000000 in a  ENOMEM
    revoke
      turn memory of dev0 off                    ok

          call                     revoke
       1  begins
       2  goes on
       3  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv
       4  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv
          ! iopt_area_alloc fails
      >5                           begins
       6                           ┌ dev0.memory_lock(W)
       7                           │┌ dev0.i_mmap_rwsem(R)
                                   │└ dev0.i_mmap_rwsem(R)
       8                           │┌ dev0.dmabuf0.resv
       9                           ││┌ pages->mutex
                                   ││└ pages->mutex
                                   │└ dev0.dmabuf0.resv
      10                           │has dev0.dmabuf0
                                   └ dev0.memory_lock(W)
                                   ends
      11  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv
      12  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv
          ends"
  `);
  expect(
    drawn(traceOf([[{ command: off }], [failing('copy_from_user')]], [{ after: 4, to: 1 }])),
  ).toMatchInlineSnapshot(`
    "revoke
      turn memory of dev0 off                    ok
    call
      map b+0x0 length 0x1000 at 0x1000000 in a  EFAULT

          revoke                   call
       1  begins
       2  ┌ dev0.memory_lock(W)
       3  │┌ dev0.i_mmap_rwsem(R)
          │└ dev0.i_mmap_rwsem(R)
       4  │┌ dev0.dmabuf0.resv
          │└ dev0.dmabuf0.resv
      >5  │                        begins
          │                        ! copy_from_user fails
          │                        ends
       6  │has dev0.dmabuf0
          └ dev0.memory_lock(W)
          ends"
  `);
  const inside = drawTrace(traceOf([[failing('iommu_map')], [{ command: off }]], [])).slice(5);
  expect(
    inside
      .slice(
        0,
        inside.findIndex((line) => line.includes('ends')),
      )
      .join('\n'),
  ).toMatchInlineSnapshot(`
    "      call                 revoke
       1  begins
       2  goes on
       3  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv
       4  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv
       5  ┌ iova_rwsem(W)
          └ iova_rwsem(W)
       6  ┌ domains_rwsem(R)
       7  │┌ pages->mutex
          ││! iommu_map fails
          │└ pages->mutex
       8  │┌ iova_rwsem(W)
          │└ iova_rwsem(W)
          └ domains_rwsem(R)
       9  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv
      10  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv"
  `);
});

test('a fault that is not met, answers that are not as expected, and a preemption that never comes are told', () => {
  const late: Step = { command: map, fault: { site: 'iopt_area_alloc', nth: 9 }, result: { err: 'ENOMEM' } };
  expect(drawn(traceOf([[late], [{ command: off }]], [{ after: 99, to: 1 }]))).toMatchInlineSnapshot(`
    "call
      map b+0x0 length 0x1000 at 0x1000000 in a  ok at 0x1000000, and does not come to its fault
    revoke
      turn memory of dev0 off                    ok

          call                 revoke
       1  begins
       2  goes on
       3  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv
       4  ┌ dev0.dmabuf0.resv
          └ dev0.dmabuf0.resv
       5  ┌ iova_rwsem(W)
          └ iova_rwsem(W)
       6  ┌ domains_rwsem(R)
       7  │┌ pages->mutex
          │└ pages->mutex
       8  │┌ iova_rwsem(W)
          │└ iova_rwsem(W)
          └ domains_rwsem(R)
          ends
       9                       begins
      10                       ┌ dev0.memory_lock(W)
      11                       │┌ dev0.i_mmap_rwsem(R)
                               │└ dev0.i_mmap_rwsem(R)
      12                       │┌ dev0.dmabuf0.resv
      13                       ││┌ pages->mutex
                               ││└ pages->mutex
                               │└ dev0.dmabuf0.resv
      14                       │has dev0.dmabuf0
                               └ dev0.memory_lock(W)
                               ends

    the call: expected {"err":"ENOMEM"}, got {"ok":{"iova":"0x1000000"}}

    the last preemption of 1 never came: the run was over after 14 steps"
  `);
});

test('threads that come after a step with a fault are drawn from what that leaves', () => {
  const trace = traceOf([[{ command: map }], [{ command: off }]], []);
  const failing: Step = {
    command: { ...map, iova: 0x200_0000n } as Step['command'],
    fault: { site: 'iopt_area_alloc', nth: 1 },
  };
  expect(drawTrace({ ...trace, steps: [...trace.steps, failing] })).toEqual(drawTrace(trace));
  const unmet = { ...failing, fault: { site: 'iopt_area_alloc', nth: 9 } };
  expect(drawn({ ...trace, steps: [...trace.steps, unmet] })).toContain(
    'not drawn: fault: step 7, map b+0x0 length 0x1000',
  );
});

test('what cannot be drawn says why', () => {
  const trace = traceOf([[{ command: map }], [{ command: off }]], []);
  const skipped = 'not drawn, as no replay runs it:';
  expect(drawTrace({ ...trace, kernel: '5.15' })).toEqual([`${skipped} kernel 5.15`]);
  const faulty = { command: map, fault: { site: 'iopt_area_alloc', nth: 1 } };
  expect(drawTrace(traceOf([[faulty], [faulty]], []))).toEqual([
    `${skipped} a fault in threads, where several calls may meet it`,
  ]);
  const before = traceOf([[faulty], [{ command: off }]], []);
  const steps = before.steps.with(1, { ...(before.steps[1] as Step), fault: { site: 'iommufd_object_alloc', nth: 1 } });
  expect(drawTrace({ ...before, steps })).toEqual([`${skipped} a fault in threads, and one before`]);
  const { threads: _, ...sequential } = trace;
  expect(drawTrace(sequential)).toEqual([]);
});
