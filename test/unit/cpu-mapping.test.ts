/**
 * CPU mappings as a process has them: what the commands answer, what keeps a device open, and what MAP makes of them.
 *
 * Source: vfio-dmabuf 1.3, 1.6, V-46 to V-48, V-60; iommufd 2.3; the recordings
 */
import { describe, expect, test } from 'vitest';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, attached, CONFIG, mapFileOf, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';
import { sweep } from './kernel-rig.ts';

const map: Extract<Command, { do: 'bar_mmap' }> = {
  do: 'bar_mmap',
  dev: 'dev0',
  region: 2,
  offset: 0x1000n,
  length: 0x2000n,
  as: 'v',
};
const munmap: Command = { do: 'munmap', map: 'v' };
const close: Command = { do: 'vfio_close', dev: 'dev0' };
const mapUser: Extract<Command, { do: 'ioas_map' }> = {
  do: 'ioas_map',
  ioas: 'ioas',
  mem: 'v',
  offset: 0n,
  length: 0x1000n,
  prot: 'rw',
  iova: A,
};
const peek = (offset: bigint, name = 'v'): Command => ({ do: 'peek', map: name, offset });
const value = (target: string): Result => ({ ok: { value: target } });
const SIGBUS: Result = { ok: { signal: 'SIGBUS' } };
const err = (errno: 'EBADF' | 'EFAULT' | 'EINVAL' | 'ENOMEM' | 'EOVERFLOW' | 'ENODEV'): Result => ({ err: errno });

function mapped(...more: readonly Command[]): Rig {
  const rig = new Rig();
  rig.must(map, ...more);
  return rig;
}

describe('bar_mmap', () => {
  test.each<[what: string, how: Partial<typeof map>, answer: Result]>([
    ['a device that nobody has open', { dev: 'dev9' }, err('EBADF')],
    ['a region that there is not', { region: 9, offset: 0x800n }, err('EINVAL')],
    ['more than an address space has', { length: U64_MAX }, err('ENOMEM')],
    ['an offset that wraps to the region before', { offset: 2n ** 64n - (1n << 40n) }, err('EINVAL')],
    ['an offset that wraps into the BAR', { region: 3, offset: 2n ** 64n - (1n << 40n) }, OK],
    ['an offset at the end of all files', { region: 0, offset: 2n ** 64n - 0x1000n }, err('EOVERFLOW')],
  ])('of %s', (_, how, answer) => {
    const rig = new Rig();
    expect(rig.do({ ...map, ...how })).toEqual(answer);
    rig.expectAtRest();
  });

  test('is EBADF after close, and EINVAL after an open without a bind', () => {
    const rig = new Rig();
    rig.must(close);
    expect(rig.do(map)).toEqual(err('EBADF'));
    rig.must({ do: 'vfio_open', dev: 'dev0' });
    expect(rig.do({ ...map, length: U64_MAX })).toEqual(err('EINVAL'));
  });

  test('gives its name to the new mapping only when there is one', () => {
    const rig = new Rig();
    expect([rig.do({ ...map, length: 0n }), rig.do(peek(0n))]).toEqual([err('EINVAL'), err('EBADF')]);
  });

  test('fails without a trace at each of its allocations', () => {
    const rig = new Rig();
    const before = rig.state([]);
    const sites = sweep(
      rig.machine.kernel,
      () => rig.do(map),
      (answer, site) =>
        expect([answer, rig.state([])]).toEqual([err(site === 'copy_from_user' ? 'EFAULT' : 'ENOMEM'), before]),
    );
    expect(sites).toEqual(['copy_from_user', 'vm_area_alloc', 'vma_iter_prealloc']);
    expect([rig.do(munmap), rig.state([])]).toEqual([OK, before]);
  });
});

describe('fd_mmap', () => {
  const of = (fd: string, offset: bigint, length: bigint): Command => ({ do: 'fd_mmap', fd, offset, length, as: 'w' });

  test.each<[what: string, command: Command, answer: Result]>([
    ['a dma-buf', of('buf', 0n, 0x1000n), err('EINVAL')],
    ['a dma-buf, behind its end', of('buf', 0x400000n, 0x1000n), err('EINVAL')],
    ['a dma-buf, by more than an address space has', of('buf', 0n, 2n ** 60n), err('ENOMEM')],
    ['a dma-buf, at the end of all files', of('buf', 2n ** 64n - 0x1000n, 0x1000n), err('EOVERFLOW')],
    ['what is no descriptor', of('ioas', 0n, 0x1000n), err('EBADF')],
  ])('of %s', (_, command, answer) => {
    const rig = new Rig();
    expect(rig.do(command)).toEqual(answer);
    rig.expectAtRest();
  });

  test('of a memfd shows the memfd, and is SIGBUS behind it', () => {
    const rig = new Rig();
    rig.must({ do: 'memfd_create', as: 'f', length: 0x1800n }, of('f', 0x1000n, 0x2000n), { do: 'fd_close', fd: 'f' });
    expect([peek(0xffcn, 'w'), peek(0x1000n, 'w')].map((it) => rig.do(it))).toEqual([value('f+0x1ffc'), SIGBUS]);
    rig.expectAtRest();
    expect([rig.do({ do: 'munmap', map: 'w' }), rig.machine.audit()]).toEqual([OK, []]);
  });
});

describe('peek', () => {
  test('names the byte of the BAR that it reads', () => {
    const rig = mapped();
    expect([0n, 4n, 0x1ffcn].map((offset) => rig.do(peek(offset)))).toEqual([
      value('dev0:2+0x1000'),
      value('dev0:2+0x1004'),
      value('dev0:2+0x2ffc'),
    ]);
    expect(rig.machine.cpuMappings().map(({ memory, offset, length }) => [memory, offset, length])).toEqual([
      ['dev0:2', 0x1000, 0x1000],
      ['dev0:2', 0x2000, 0x1000],
    ]);
    rig.expectAtRest();
  });

  test('names the byte of memory that it reads, which is no device memory', () => {
    const rig = new Rig();
    rig.must({ do: 'mem_alloc', as: 'm', length: 0x2000n });
    expect([rig.do(peek(0x1004n, 'm')), rig.machine.cpuMappings()]).toEqual([value('m+0x1004'), []]);
  });

  test('across two pages names the first byte', () => {
    expect(mapped().do(peek(0xffen))).toEqual(value('dev0:2+0x1ffe'));
  });

  test('outside of the mapping is EFAULT, and so is a read across its end', () => {
    const rig = mapped();
    const offsets = [0x2000n, 0x1ffdn, U64_MAX, 1n << 63n, U64_MAX - 1n];
    expect(offsets.map((offset) => rig.do(peek(offset)))).toEqual(offsets.map(() => err('EFAULT')));
  });

  test('is SIGBUS while memory is off, and names the byte again afterwards', () => {
    const rig = mapped(peek(4n));
    rig.memory(false);
    expect([rig.machine.cpuMappings(), rig.do(peek(4n))]).toEqual([[], SIGBUS]);
    rig.memory(true);
    expect([rig.machine.cpuMappings(), rig.do(peek(4n))]).toEqual([[], value('dev0:2+0x1004')]);
  });

  test('of what is not mapped is EBADF', () => {
    const rig = mapped();
    expect(['u', 'buf', 'dev0', 'ioas'].map((name) => rig.do(peek(0n, name)))).toEqual(Array(4).fill(err('EBADF')));
  });

  test('of a BAR smaller than a page cannot say what lies behind the BAR', () => {
    const rig = new Rig({
      ...CONFIG,
      devices: new Map(
        ['dev0', 'dev1'].map((name, group) => [
          name,
          {
            bars: new Map([
              [0, 0x100n],
              [2, 0x400000n],
            ]),
            group,
            bus: group,
            resets: ['flr'] as const,
          },
        ]),
      ),
    });
    rig.must({ ...map, region: 0, offset: 0n, length: 0x100n });
    expect([rig.do(peek(0xfcn)), rig.do(peek(0x100n))]).toEqual([value('dev0:0+0xfc'), value('?')]);
  });
});

describe('munmap', () => {
  test('ends the name and the entries, and gives back the reference', () => {
    const rig = mapped(peek(0n));
    expect([rig.do(munmap), rig.do(munmap), rig.do(peek(0n)), rig.do(mapUser)]).toEqual([
      OK,
      err('EBADF'),
      err('EBADF'),
      err('EBADF'),
    ]);
    expect(rig.machine.cpuMappings()).toEqual([]);
    rig.expectAtRest();
  });
});

describe('a device of which a BAR is mapped', () => {
  test('stays open after close(2): nothing is revoked and nothing detached, before the munmap', () => {
    const rig = attached([mapFileOf(), map, peek(0n), close]);
    expect(rig.reach('dev0')).toHaveLength(1);
    expect([rig.do(peek(4n)), rig.mapFile({ iova: 0x300_0000n })]).toEqual([value('dev0:2+0x1004'), at(0x300_0000n)]);
    rig.expectAtRest();
    const { group, openCount, registration } = rig.machine.devices.get('dev0') ?? {};
    expect([group?.ownerCount, openCount, registration?.count]).toEqual([1, 1, 3]);
    rig.calls();
    rig.must(munmap);
    expect(rig.calls()).toEqual(['unmap ioas 0x3000000 0x4000', 'unmap ioas 0x1000000 0x4000']);
    expect([rig.mapFile(), rig.do({ do: 'vfio_reset', dev: 'dev0' })]).toEqual([err('ENODEV'), err('EBADF')]);
    rig.expectAtRest();
  });

  test('can be opened again, but not bound, and its new descriptor does nothing, before the munmap', () => {
    const rig = attached([map, close, { do: 'vfio_open', dev: 'dev0' }]);
    const bind: Command = { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' };
    const refused: readonly Command[] = [
      bind,
      { ...map, as: 'w' },
      { do: 'vfio_memory', dev: 'dev0', enable: false },
      { do: 'vfio_reset', dev: 'dev0' },
      { do: 'dma_read', dev: 'dev0', iova: A },
      { do: 'vfio_detach', dev: 'dev0' },
      { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x1000n]], as: 'c' },
    ];
    expect(refused.map((command) => rig.do(command))).toEqual(refused.map(() => err('EINVAL')));
    rig.expectAtRest();
    expect([rig.do(munmap), rig.do(bind), rig.do({ ...map, as: 'w' })]).toEqual([OK, OK, OK]);
    rig.expectAtRest();
  });

  test('stays open until the last of several mappings goes', () => {
    const rig = mapped({ ...map, as: 'w' }, close, munmap);
    expect(rig.do(peek(0n, 'w'))).toEqual(value('dev0:2+0x1000'));
    expect(rig.mapFile()).toEqual(at(A));
    rig.must({ do: 'munmap', map: 'w' });
    expect(rig.mapFile({ iova: 0x300_0000n })).toEqual(err('ENODEV'));
    rig.expectAtRest();
  });

  test('keeps its context alive after iommufd_close, as any bound device does', () => {
    const rig = attached([map, close, { do: 'iommufd_close', ctx: 'ctx' }]);
    rig.expectAtRest();
    rig.must(munmap, { do: 'vfio_close', dev: 'dev1' }, { do: 'fd_close', fd: 'buf' });
    expect([...rig.machine.kernel.live.files]).toEqual([]);
  });
});

describe('IOAS_MAP of a mapped BAR', () => {
  test('is EFAULT with a domain, and leaves nothing', () => {
    const rig = attached([map]);
    const before = rig.state(['dev0']);
    expect([rig.do(mapUser), rig.state(['dev0'])]).toEqual([err('EFAULT'), before]);
  });

  test('succeeds without a domain, and then no domain comes before it is unmapped', () => {
    const rig = mapped();
    expect(rig.do(mapUser)).toEqual(at(A));
    const before = rig.state([]);
    expect([rig.attach(), rig.hwpt('h'), rig.state([])]).toEqual([err('EFAULT'), err('EFAULT'), before]);
    expect([rig.unmap(0n, U64_MAX), rig.attach()]).toEqual([removed(0x1000n), OK]);
    rig.expectAtRest();
  });

  test('is EFAULT too when an entry is there, for the CPU has one and no page', () => {
    const rig = attached([map, peek(0n)]);
    expect(rig.do(mapUser)).toEqual(err('EFAULT'));
  });

  test('is EFAULT at the first attach after the munmap', () => {
    const rig = new Rig();
    rig.must({ do: 'mem_alloc', as: 'v', length: 0x1000n }, mapUser, munmap);
    expect(rig.attach()).toEqual(err('EFAULT'));
    rig.expectAtRest();
  });
});

test('IOAS_MAP of a mapped memfd pins its pages, which stay pinned after the munmap', () => {
  const rig = attached([
    { do: 'memfd_create', as: 'f', length: 0x3000n },
    { do: 'fd_mmap', fd: 'f', offset: 0x1000n, length: 0x3000n, as: 'v' },
  ]);
  expect(rig.do({ ...mapUser, length: 0x3000n })).toEqual(err('EFAULT'));
  expect(rig.pinned()).toEqual({});
  rig.must({ do: 'fd_mmap', fd: 'f', offset: 0n, length: 0x1000n, as: 'w' });
  expect(rig.do({ ...mapUser, mem: 'w', length: 0x2000n })).toEqual(err('EFAULT'));
  rig.must({ ...mapUser, length: 0x2000n }, munmap, { do: 'fd_close', fd: 'f' });
  expect([rig.reach('dev0'), rig.pinned()]).toEqual([['0x1000000 -> f+0x1000 0x2000 RW+CACHE'], { f: 2 }]);
  rig.must({ do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x2000n });
  expect(rig.pinned()).toEqual({});
  rig.expectAtRest();
});
