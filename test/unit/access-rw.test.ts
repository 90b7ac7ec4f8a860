/**
 * Reading and writing by CPU: what is moved, by which path, and how far an access comes that must stop.
 *
 * Source: iommufd 2.16, 6.3 (T-37 to T-40), I-26, I-85
 */
import { describe, expect, test } from 'vitest';
import { ACCESS_RW_KTHREAD, ACCESS_RW_SLOW_PATH, ACCESS_RW_WRITE, accessRw } from '../../impl/iommufd/access-rw.ts';
import { mockAccessRw } from '../../impl/iommufd/mock-access.ts';
import { Mm } from '../../impl/kernel/mm.ts';
import { exitMmap } from '../../impl/kernel/munmap.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { AccessRig, contentAt, MAP } from './access-rig.ts';
import { A, mapFileOf, OK } from './iommufd-rig.ts';

const MEMFD: Command = { ...mapFileOf(), fd: 'f', length: 0x8000n };
const contents = (from: number, length: number): number[] => Array.from({ length }, (_, i) => contentAt(from + i));

type Who = 'the process' | 'the slow path' | 'another process' | 'a kernel thread';
const ALL: readonly Who[] = ['the process', 'the slow path', 'another process', 'a kernel thread'];

/** Move bytes as one of four does; what it answers. */
function move(rig: AccessRig, who: Who, iova: bigint, data: Uint8Array, write: boolean): unknown {
  const [access] = rig.accesses();
  if (access === undefined) throw new Error('nobody is attached');
  const { mm, ram } = rig.machine;
  const caller = {
    'the process': mm,
    'the slow path': mm,
    'another process': new Mm(ram),
    'a kernel thread': undefined,
  }[who];
  const how = {
    'the process': 0,
    'the slow path': ACCESS_RW_SLOW_PATH,
    'another process': 0,
    'a kernel thread': ACCESS_RW_KTHREAD,
  }[who];
  return rig.call(accessRw(access, fromBigint(iova), data, how | (write ? ACCESS_RW_WRITE : 0), caller));
}

function read(rig: AccessRig, who: Who, iova: bigint, length: number): unknown {
  const data = new Uint8Array(length);
  return move(rig, who, iova, data, false) ?? [...data];
}

describe.each(ALL)('%s', (who) => {
  test.each<[what: string, command: Command, first: number]>([
    ['user memory', MAP, 0],
    ['user memory from inside a page', { ...MAP, offset: 0x800n }, 0x800],
    ['a memfd', MEMFD, 0],
  ])('reads and writes %s, within a page and across two, to the byte', (_, command, first) => {
    const rig = new AccessRig([command]);
    rig.create('ioas', 0);
    const memory = rig.backing(command === MEMFD ? 'f' : 'm');
    for (const [at, length] of [
      [0, 1],
      [0xff0, 0x30],
      [0x7ff, 2],
      [0x1ffe, 0x3005],
    ] as const) {
      expect(read(rig, who, A + BigInt(at), length)).toEqual(contents(first + at, length));
      const data = Uint8Array.from({ length }, (_, i) => 255 - (i & 63));
      expect(move(rig, who, A + BigInt(at), data, true)).toBeUndefined();
      const around = new Uint8Array(length + 2);
      const from = first + at - (first + at > 0 ? 1 : 0);
      memory.read(from, around);
      expect([...around.subarray(first + at - from, first + at - from + length)]).toEqual([...data]);
      // The byte before and the byte after are as they were.
      if (from < first + at) expect(around[0]).toBe(contentAt(from));
      expect(around[first + at - from + length]).toBe(contentAt(first + at + length));
      memory.write(first + at, Uint8Array.from(contents(first + at, length)));
    }
    expect(rig.pinned()).toEqual({});
    rig.expectAtRest();
  });

  test('moves bytes across areas, and those before a hole stay moved: ENOENT', () => {
    const rig = new AccessRig([MAP, { ...MEMFD, iova: A + 0x8000n }]);
    rig.create('ioas', 0);
    expect(read(rig, who, A + 0x7fffn, 2)).toEqual([contentAt(0x7fff), contentAt(0)]);
    expect(move(rig, who, A + 0xfffen, Uint8Array.of(1, 2, 3), true)).toBe('ENOENT');
    expect(read(rig, who, A + 0xfffen, 2)).toEqual([1, 2]);
  });

  test('is stopped by what it may not touch, after what lies before', () => {
    for (const [behind, answer] of [
      [{ ...MAP, iova: A + 0x8000n, prot: 'r' }, 'EPERM'],
      [{ ...mapFileOf(), iova: A + 0x8000n }, 'EINVAL'],
      [{ ...mapFileOf(), iova: A + 0x8000n, prot: 'r' }, 'EPERM'],
    ] as const) {
      const rig = new AccessRig([MAP, behind]);
      rig.create('ioas', 0);
      expect(move(rig, who, A + 0x7fffn, Uint8Array.of(7, 7), true)).toBe(answer);
      expect(read(rig, who, A + 0x7fffn, 1)).toEqual([7]);
      expect(rig.pinned()).toEqual({});
    }
  });

  test.each<[what: string, before: Command[], length: number, iova: bigint, answer: string]>([
    ['nothing: EINVAL', [MAP], 0, A, 'EINVAL'],
    ['what wraps: EOVERFLOW', [MAP], 2, 2n ** 64n - 1n, 'EOVERFLOW'],
    ['the last byte there is, where no area is: ENOENT', [MAP], 1, 2n ** 64n - 1n, 'ENOENT'],
    // The answer was what the stack held (a05df03a88bc).
    ['an IOAS without any area: ENOENT (H-25)', [], 1, A, 'ENOENT'],
    ['what is only written: EPERM', [{ ...MAP, prot: 'w' }], 1, A, 'EPERM'],
    ['a file that has ended: EINVAL', [{ ...mapFileOf(), fd: 'f', start: 0xf000n }], 0x10, A + 0xff8n, 'EINVAL'],
  ])('cannot read %s', (_, before, length, iova, answer) => {
    const rig = new AccessRig(before);
    rig.create('ioas', 0);
    const data = new Uint8Array(length).fill(9);
    expect(move(rig, who, iova, data, false)).toBe(answer);
    expect([...data]).toEqual(Array(length).fill(9));
    rig.expectAtRest();
  });
});

describe('memory that is not all there', () => {
  /** The last two pages of `m`, and two that nobody has. */
  const BEYOND: Command = { ...MAP, offset: 0xe000n, length: 0x4000n };

  test.each<[who: Who, moved: number]>([
    ['the process', 0x1000],
    ['a kernel thread', 0x1000],
    ['the slow path', 0],
    ['another process', 0],
  ])('is EFAULT for %s, which has moved %i bytes then', (who, moved) => {
    const rig = new AccessRig([BEYOND]);
    rig.create('ioas', 0);
    const data = new Uint8Array(0x1800).fill(255);
    expect(move(rig, who, A + 0x1000n, data, false)).toBe('EFAULT');
    expect(data.findLastIndex((byte, i) => byte === contentAt(0xf000 + i)) + 1 >= moved).toBe(true);
    expect([...data.subarray(moved)]).toEqual(Array(0x1800 - moved).fill(255));
    expect([...data.subarray(0, moved)]).toEqual(contents(0xf000, moved));
    expect(read(rig, who, A + 0x2000n, 1)).toBe('EFAULT');
    expect(rig.pinned()).toEqual({});
    rig.expectAtRest();
  });
});

describe('when the process has ended (T-39, T-40)', () => {
  test.each(ALL.slice(1))('%s reaches what a domain or an access holds, and nothing else', (who) => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    rig.pin(mock, A, 0x2000n);
    rig.call(exitMmap(rig.machine.mm));
    expect(read(rig, who, A + 0x10n, 2)).toEqual([1, 1]);
    expect(read(rig, who, A + 0xfffn, 2)).toEqual(contents(0xfff, 2));
    expect(read(rig, who, A + 0x1fffn, 2)).toBe('EFAULT');
    expect(read(rig, who, A + 0x2000n, 1)).toBe('EFAULT');
    expect(rig.attach()).toEqual({ err: 'EFAULT' });
    rig.unpin(mock, 0);
    expect(read(rig, who, A, 1)).toBe('EFAULT');
    rig.expectAtRest();
  });

  test('a domain that was there before is read from, also into another domain', () => {
    const rig = new AccessRig([MAP]);
    rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' });
    rig.create('ioas', 0);
    rig.call(exitMmap(rig.machine.mm));
    expect(read(rig, 'another process', A + 0xfffn, 2)).toEqual(contents(0xfff, 2));
    expect(rig.hwpt('h')).toEqual(OK);
  });
});

test.each<[what: string, flags: number, length: number, answer: string]>([
  ['an unknown flag', 8, 1, 'EOPNOTSUPP'],
  ['more than 16 MiB', 0, 16 * 1024 * 1024 + 1, 'ENOMEM'],
  ['exactly 16 MiB, of which 32 KiB are mapped', 0, 16 * 1024 * 1024, 'ENOENT'],
])('ACCESS_RW with %s is refused', (_, flags, length, answer) => {
  const rig = new AccessRig([MAP]);
  const mock = rig.create();
  const data = new Uint8Array(length);
  expect(rig.call(mockAccessRw(mock, fromBigint(A), data, flags, rig.machine.mm))).toBe(answer);
});
