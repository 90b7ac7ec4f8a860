/**
 * What an access pins: which pages, how often, and what becomes of them when domains and copies come and go.
 *
 * Source: iommufd 2.12, 2.16, 5.1, 6.3 (T-34, T-35), 6.4 (T-55), I-26, I-53, I-85
 */
import { describe, expect, test } from 'vitest';
import { accessUnpinPages } from '../../impl/iommufd/access-pin.ts';
import { mockAccessPages } from '../../impl/iommufd/mock-access.ts';
import { exitMmap } from '../../impl/kernel/munmap.ts';
import { bytes, fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { AccessRig, MAP } from './access-rig.ts';
import { A, mapFileOf, OK, removed } from './iommufd-rig.ts';
import { splatOf } from './kernel-rig.ts';

const COPY_AT = 0x200_0000n;
const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const detach: Command = { do: 'vfio_detach', dev: 'dev0' };
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };
const MEMFD: Command = { ...mapFileOf(), fd: 'f', length: 0x8000n };
const NONE = '0'.repeat(16);

describe('a pin', () => {
  test('takes the pages of its range once, however often and in whatever pieces they are pinned', () => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    const seen: string[] = [];
    const ids = [
      [0x1000n, 0x3000n],
      [0x1000n, 0x3000n],
      [0x2000n, 0x4000n],
    ].map(([from = 0n, length = 0n]) => rig.pin(mock, A + from, length));
    seen.push(rig.pins());
    for (const id of ids) {
      expect(rig.unpin(mock, Number(id))).toBeUndefined();
      seen.push(rig.pins());
      rig.expectAtRest();
    }
    expect(seen).toEqual(['0111110000000000', '0111110000000000', '0011110000000000', NONE]);
  });

  test.each<[what: string, command: Command, name: string]>([
    ['user memory', MAP, 'm'],
    ['a memfd', MEMFD, 'f'],
  ])('of %s gives the pages that a domain maps', (_, command, name) => {
    const rig = new AccessRig([command]);
    const mock = rig.create();
    rig.pin(mock, A + 0x2000n, 0x2000n);
    const first = rig.backing(name).firstPfn;
    expect([...mock.items.values()].map(({ pfns }) => pfns)).toEqual([[first + 2, first + 3]]);
    rig.must(attach);
    expect(rig.reach('dev0')).toEqual([`0x1000000 -> ${name}+0x0 0x8000 RW+CACHE`]);
  });

  test('over two areas takes pages of both, and is ENOENT where they do not meet', () => {
    const rig = new AccessRig([MAP, { ...MEMFD, iova: A + 0x8000n }]);
    const mock = rig.create();
    expect(rig.pin(mock, A + 0x7000n, 0x2000n)).toBe(0);
    expect([rig.pins(), rig.pins('f')]).toEqual(['0000000100000000', '1000000000000000']);
    expect(rig.pin(mock, A + 0xf000n, 0x2000n)).toBe('ENOENT');
    expect(rig.pins('f')).toBe('1000000000000000');
    rig.unpin(mock, 0);
    expect([rig.pins(), rig.pins('f')]).toEqual([NONE, NONE]);
    rig.expectAtRest();
  });

  // ACCESS_PAGES with `uptr`.
  test.each<[what: string, offset: number, answer: unknown]>([
    ['where it is', 0x1000, 0],
    ['where it is not', 0x2000, 'EBADE'],
    ['where nothing is', 0x100000, 'EBADE'],
  ])('that is expected to be %s answers so', (_, offset, answer) => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    const base = rig.machine.mm.mapAnonymous('probe', bytes(0x1000));
    const start = (base as { page: number }).page - 64 * 256;
    const address = { page: start + offset / 0x1000, byte: 0 };
    const args = { iova: fromBigint(A + 0x1000n), length: bytes(0x1000), flags: 0 };
    expect(rig.call(mockAccessPages(mock, { ...args, expected: { mm: rig.machine.mm, address } }))).toBe(answer);
    expect(rig.pins()).toBe(answer === 0 ? '0100000000000000' : NONE);
  });

  test('must be unpinned exactly as it was made, or splats', () => {
    const misfits: readonly [bigint, bigint, string][] = [
      [A, 0x1000n, 'pages are unpinned that were not pinned like that'],
      [A, 0x3000n, 'pages are unpinned that were not pinned like that'],
      [A + 0x7000n, 0x2000n, 'a range is unpinned that was not pinned'],
      [A, 0n, 'no range to be unpinned'],
    ];
    for (const [iova, length, message] of misfits) {
      const rig = new AccessRig([MAP]);
      const mock = rig.create();
      rig.pin(mock, A, 0x2000n);
      const unpin = (): void => rig.call(accessUnpinPages(mock.access, fromBigint(iova), fromBigint(length)));
      expect(splatOf(unpin)).toBe(`WARN: ${message}`);
    }
  });

  test('by an access that never said it would splats', () => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create('ioas', 0);
    expect(rig.pin(mock, A, 0x1000n)).toBe('EOPNOTSUPP');
    Object.assign(mock, { needsPinPages: true });
    expect(splatOf(() => rig.pin(mock, A, 0x1000n))).toBe('WARN: an access pins that never said it would');
  });
});

describe('pages that an access has pinned', () => {
  const held = '0011000000000000';
  const all = '1111111100000000';

  // H-14, H-15 and H-16 lost or unpinned pages around a pin when the domain went; it had read them in several batches.
  test.each<[what: string, command: Command, name: string]>([
    ['user memory', MAP, 'm'],
    ['a memfd', MEMFD, 'f'],
  ])('of %s stay pinned when the last domain goes, and no others do (T-34)', (_, command, name) => {
    const rig = new AccessRig([command, attach]);
    const mock = rig.create();
    rig.pin(mock, A + 0x2000n, 0x2000n);
    const seen = [rig.pins(name)];
    rig.must(detach);
    seen.push(rig.pins(name));
    rig.must(attach);
    seen.push(rig.pins(name));
    rig.unpin(mock, 0);
    seen.push(rig.pins(name));
    rig.must(detach);
    seen.push(rig.pins(name));
    expect(seen).toEqual([all, held, all, all, NONE]);
    rig.expectAtRest();
  });

  test.each<[what: string, last: boolean]>([
    ['unpins them', false],
    ['leaves them to the domain', true],
  ])('are known by number when unpinning %s', (_, last) => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    rig.pin(mock, A + 0x2000n, 0x2000n);
    if (last) rig.must(attach);
    // Whoever would ask the process for its memory now is refused.
    rig.call(exitMmap(rig.machine.mm));
    rig.unpin(mock, 0);
    expect(rig.pins()).toBe(last ? all : NONE);
    rig.expectAtRest();
  });

  test('are what a new domain is filled from, and are not pinned again (T-35)', () => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    rig.pin(mock, A, 0x8000n);
    rig.call(exitMmap(rig.machine.mm));
    expect(rig.attach()).toEqual(OK);
    expect(rig.reach('dev0')).toEqual(['0x1000000 -> m+0x0 0x8000 RW+CACHE']);
    expect(rig.pins()).toBe(all);
    rig.unpin(mock, 0);
    expect(rig.pins()).toBe(all);
    rig.must(detach);
    expect(rig.pinned()).toEqual({});
    rig.expectAtRest();
  });

  test('are taken from a domain that has them, and are not pinned again', () => {
    const rig = new AccessRig([MAP, attach]);
    const mock = rig.create();
    rig.call(exitMmap(rig.machine.mm));
    expect(rig.pin(mock, A + 0x2000n, 0x2000n)).toBe(0);
    rig.must(detach);
    expect([rig.pins(), rig.attach()]).toEqual([held, { err: 'EFAULT' }]);
    rig.expectAtRest();
  });

  test('of which a domain has a part are pinned for the rest only', () => {
    const rig = new AccessRig([MAP, other, { do: 'vfio_attach', dev: 'dev0', pt: 'other' }]);
    rig.copy(A + 0x3000n, 0x2000n, { dst: 'other', dst_iova: COPY_AT });
    const mock = rig.create();
    expect(rig.pin(mock, A + 0x1000n, 0x6000n)).toBe(0);
    expect(rig.pins()).toBe('0111111000000000');
    rig.unpin(mock, 0);
    expect(rig.pins()).toBe('0001100000000000');
    rig.must(detach);
    expect(rig.pins()).toBe(NONE);
    rig.expectAtRest();
  });

  test('are shared by copies, in whatever IOAS, each of which keeps them (T-55)', () => {
    const rig = new AccessRig([MAP, other]);
    const mock = rig.create();
    rig.pin(mock, A, 0x8000n);
    rig.call(exitMmap(rig.machine.mm));
    expect(rig.copy(A, 0x8000n, { dst: 'other', dst_iova: COPY_AT })).toHaveProperty('ok');
    const second = rig.create('other');
    expect(rig.pin(second, COPY_AT + 0x2000n, 0x2000n)).toBe(0);
    rig.close(mock);
    expect(rig.pins()).toBe(held);
    expect(rig.unmap(A, 0x8000n)).toEqual(removed(0x8000n));
    expect(rig.do({ do: 'destroy', obj: 'ioas' })).toEqual(OK);
    expect([rig.pins(), rig.pin(second, COPY_AT, 0x1000n)]).toEqual([held, 'EFAULT']);
    rig.close(second);
    expect(rig.pins()).toBe(NONE);
    rig.expectAtRest();
  });
});
