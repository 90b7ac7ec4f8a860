/**
 * Parts of mappings, and mappings of children, by the names of traces.
 *
 * Source: vfio-dmabuf 6.9, R25
 */
import { describe, expect, test } from 'vitest';
import type { Result } from '../../trace/answer.ts';
import { close, err, exit, fork, map, munmap, PAGE, peek, reached, rigOf, value } from './cpu-scene.ts';
import { OK } from './iommufd-rig.ts';
import { sweep } from './kernel-rig.ts';

describe('munmap of a part', () => {
  test('leaves a hole, where a read is EFAULT, and the name for the rest', () => {
    const rig = rigOf(map(), munmap({ offset: PAGE, length: PAGE }));
    const offsets = [0n, PAGE, 2n * PAGE, 3n * PAGE];
    expect(offsets.map((offset) => rig.do(peek(offset)))).toEqual([
      value(0n),
      err('EFAULT'),
      value(0x2000n),
      value(0x3000n),
    ]);
    expect(rig.do(peek(PAGE - 2n))).toEqual(err('EFAULT'));
    rig.expectAtRest();
  });

  test.each<[what: string, how: { offset?: bigint; length?: bigint }, answer: Result]>([
    ['from inside of a page', { offset: 1n, length: PAGE }, err('EINVAL')],
    ['from inside of a page, behind the end', { offset: 9n * PAGE + 1n, length: PAGE }, err('EINVAL')],
    ['of no length', { length: 0n }, err('EINVAL')],
    ['of no length, behind the end', { offset: 9n * PAGE, length: 0n }, err('EINVAL')],
    ['from its end to its end', { offset: 4n * PAGE }, err('EINVAL')],
    ['from behind its end to its end', { offset: 5n * PAGE }, err('EINVAL')],
    ['across the end', { offset: 3n * PAGE, length: PAGE + 1n }, err('EFAULT')],
    ['behind the end', { offset: 4n * PAGE, length: PAGE }, err('EFAULT')],
    ['of all but 2^64 bytes', { length: 2n ** 64n - 1n }, err('EFAULT')],
    ['from far away', { offset: 2n ** 64n - PAGE, length: PAGE }, err('EFAULT')],
    ['of one byte, which is a page', { length: 1n }, OK],
    ['to its end', { offset: 2n * PAGE }, OK],
  ])('%s', (_, how, answer) => {
    const rig = rigOf(map());
    expect([rig.do(munmap(how)), rig.do(peek(0n))]).toEqual([
      answer,
      answer === OK && how.offset === undefined ? err('EFAULT') : value(0n),
    ]);
    rig.expectAtRest();
  });

  test('ends the name with the last page that goes, in whatever order, and closes the device', () => {
    const rig = rigOf(map(), close, munmap({ offset: PAGE }), munmap({ offset: 2n * PAGE }));
    expect([rig.do(peek(0n)), rig.do(munmap({ offset: 3n * PAGE, length: PAGE }))]).toEqual([value(0n), OK]);
    expect(rig.machine.devices.get('dev0')?.openCount).toBe(1);
    rig.must(munmap({ length: PAGE }));
    expect([rig.do(peek(0n)), rig.do(munmap()), rig.machine.devices.get('dev0')?.openCount]).toEqual([
      err('EBADF'),
      err('EBADF'),
      0,
    ]);
  });

  test('and then of the whole removes what is left', () => {
    const rig = rigOf(map(), munmap({ offset: PAGE, length: PAGE }), peek(0n), munmap());
    expect([rig.do(peek(0n)), rig.machine.cpuMappings(), rig.machine.mm.vmas]).toEqual([err('EBADF'), [], []]);
  });

  test.each<[what: string, how: { offset?: bigint; length?: bigint }]>([
    ['of all', {}],
    ['of the middle', { offset: PAGE, length: PAGE }],
  ])('%s that runs out of memory is ENOMEM, and all is as before', (_, how) => {
    const rig = rigOf(map(), peek(0n));
    const faulty = sweep(
      rig.machine.kernel,
      () => rig.do(munmap(how)),
      (answer) =>
        expect([answer, rig.do(peek(0n)), rig.do(peek(PAGE))]).toEqual([err('ENOMEM'), value(0n), value(PAGE)]),
    );
    expect(faulty.length).toBeGreaterThan(0);
    rig.expectAtRest();
  });
});

describe('a child', () => {
  test('has what its parent had at the fork, by the same names, and nothing later', () => {
    const rig = rigOf(map(), peek(0n), fork(), map('w'));
    expect([rig.do(peek(0n, 'p')), rig.do(peek(PAGE, 'p')), rig.do(peek(0n, 'p', 'w'))]).toEqual([
      value(0n),
      value(PAGE),
      err('EBADF'),
    ]);
    expect(reached(rig)).toEqual(['first v+0 1 UC', 'p v+0 1 UC', 'p v+1 1 UC']);
    rig.expectAtRest();
  });

  test('unmaps for itself, in parts and whole; a name that its parent gives anew means another there', () => {
    const rig = rigOf(map(), fork(), munmap({ offset: PAGE, length: PAGE, process: 'p' }));
    expect([rig.do(peek(PAGE, 'p')), rig.do(peek(PAGE))]).toEqual([err('EFAULT'), value(PAGE)]);
    rig.must(munmap(), map('v', PAGE, 3n * PAGE));
    expect([rig.do(peek(0n)), rig.do(peek(0n, 'p'))]).toEqual([value(3n * PAGE), value(0n)]);
    rig.must(munmap({ process: 'p' }));
    expect([rig.do(peek(0n, 'p')), rig.do(munmap({ process: 'p' })), rig.do(peek(0n))]).toEqual([
      err('EBADF'),
      err('EBADF'),
      value(3n * PAGE),
    ]);
    rig.expectAtRest();
  });

  test('holds no descriptor, so a close by its parent is the last', () => {
    const rig = rigOf(map(), munmap(), fork());
    const { file } = rig.machine.devices.get('dev0') ?? {};
    expect(file?.file.refs.count).toBe(1);
    rig.must(close);
    expect(rig.machine.devices.get('dev0')?.openCount).toBe(0);
  });

  test('that has mapped a BAR keeps the device open until it unmaps or exits', () => {
    for (const end of [exit(), munmap({ process: 'p' })]) {
      const rig = rigOf(map(), fork(), munmap(), close);
      const device = rig.machine.devices.get('dev0');
      expect([device?.openCount, rig.do(peek(0n, 'p')), rig.machine.audit()]).toEqual([1, value(0n), []]);
      rig.must(end);
      expect([device?.openCount, rig.machine.cpuMappings(), rig.machine.audit()]).toEqual([0, [], []]);
    }
  });

  test('is gone after its exit, and so is its name, which another may have', () => {
    const rig = rigOf(map(), fork(), peek(0n, 'p'), exit());
    expect([rig.do(peek(0n, 'p')), rig.do(munmap({ process: 'p' })), rig.do(exit())]).toEqual(
      Array(3).fill(err('EBADF')),
    );
    expect([rig.machine.processes.length, reached(rig)]).toEqual([1, []]);
    rig.must(fork());
    expect(rig.do(peek(0n, 'p'))).toEqual(value(0n));
    rig.expectAtRest();
  });

  test('cannot be made without memory, and then nobody holds anything for one', () => {
    const rig = rigOf(map(), peek(0n));
    const sites = sweep(
      rig.machine.kernel,
      () => rig.do(fork()),
      (answer) =>
        expect([answer, rig.do(peek(0n, 'p')), rig.machine.audit()]).toEqual([err('ENOMEM'), err('EBADF'), []]),
    );
    expect(sites).toEqual(['dup_fd', 'mm_alloc', '__mt_dup', 'vm_area_dup', 'pte_alloc', 'pte_alloc']);
  });

  test('of nobody that was forked is EBADF', () => {
    const rig = rigOf(map());
    expect([rig.do(peek(0n, 'q')), rig.do(munmap({ process: 'q' })), rig.do(exit('q')), rig.do(exit('dev0'))]).toEqual(
      Array(4).fill(err('EBADF')),
    );
  });
});
