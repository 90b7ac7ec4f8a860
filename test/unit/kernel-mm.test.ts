/** Memory of a process, of a memfd, and the pins of its pages. */
import { describe, expect, test } from 'vitest';
import { isErrno } from '../../impl/kernel/errno.ts';
import { Backing, Mm, physOf, Ram } from '../../impl/kernel/mm.ts';
import { fromBigint, toBigint, type U64 } from '../../impl/kernel/units.ts';
import { splatOf } from './kernel-rig.ts';

const START = 2 ** 32;
const ram = (pages = 100): Ram => new Ram(START, START + pages * 0x1000);
const allocated = (from: Ram, name: string, length: bigint): Backing =>
  from.allocate(name, fromBigint(length)) as Backing;

describe('RAM', () => {
  test('is handed out in whole pages, with a hole between neighbours', () => {
    const all = ram();
    const [a, b] = [allocated(all, 'a', 0x1001n), allocated(all, 'b', 0x1000n)];
    expect([a.pages, a.firstPfn, b.pages, b.firstPfn]).toEqual([2, START / 0x1000, 1, START / 0x1000 + 3]);
    expect(all.backings).toEqual([a, b]);
    const at = (page: number): Backing | undefined => all.at(START / 0x1000 + page);
    expect([at(-1), at(0), at(1), at(2), at(3), at(4)]).toEqual([undefined, a, a, undefined, b, undefined]);
  });

  test.each<[what: string, pages: bigint, answer: string]>([
    ['EINVAL for no length', 0n, 'EINVAL'],
    ['ENOMEM for more than there is', 101n, 'ENOMEM'],
    ['ENOMEM for more than a gigabyte at once', 2n ** 18n + 1n, 'ENOMEM'],
    ['ENOMEM for 2^64 bytes less one page', 2n ** 52n - 1n, 'ENOMEM'],
  ])('gives %s, and nothing is gone', (_, pages, answer) => {
    const all = ram();
    expect(all.allocate('a', fromBigint(pages * 0x1000n))).toBe(answer);
    expect(allocated(all, 'b', 100n * 0x1000n).pages).toBe(100);
  });

  test('is unpinned across what it backs, and splats where it backs nothing', () => {
    const all = ram();
    const [a, b] = [allocated(all, 'a', 0x2000n), allocated(all, 'b', 0x1000n)];
    a.pin(0, 2);
    all.unpin(a.firstPfn, 2);
    expect([a.pinned, b.pinned]).toEqual([0, 0]);
    expect(splatOf(() => all.unpin(1, 1))).toBe('refcount: unpin of a page that is no RAM');
    a.pin(1, 1);
    expect(splatOf(() => all.unpin(a.firstPfn + 1, 2))).toBe('refcount: unpin of a page that is no RAM');
    expect(a.pinned).toBe(0);
  });
});

describe('pins', () => {
  test('are counted for each page, and altogether', () => {
    const backing = new Backing('m', 4, 100);
    backing.pin(0, 3);
    backing.pin(2, 2);
    expect(backing.pinned).toBe(5);
    backing.unpin(2, 1);
    backing.unpin(2, 1);
    expect(backing.pinned).toBe(3);
    expect(splatOf(() => backing.unpin(2, 1))).toBe('refcount: m: page 2 is not pinned');
    backing.unpin(0, 2);
    backing.unpin(3, 1);
    expect(backing.pinned).toBe(0);
  });

  test('are not dropped before any was made', () => {
    expect(splatOf(() => new Backing('m', 4, 100).unpin(0, 1))).toBe('refcount: m: page 0 is not pinned');
  });
});

describe('a process', () => {
  test('maps each memory at a multiple of 64 MiB, far above, and finds it by page', () => {
    const mm = new Mm(ram());
    const at = ['a', 'b', 'c'].map((name) => mm.mapAnonymous(name, fromBigint(0x3000n)) as U64);
    expect(at.map(toBigint)).toEqual([0x7000_0000_0000n, 0x7000_0400_0000n, 0x7000_0800_0000n]);
    const nameAt = (address: bigint): string | undefined => mm.find(Number(address / 0x1000n))?.backing?.name;
    expect(at.flatMap((start) => [0n, 0x2fffn, 0x3000n].map((x) => nameAt(toBigint(start) + x)))).toEqual(
      ['a', 'b', 'c'].flatMap((name) => [name, name, undefined]),
    );
    expect([nameAt(0n), nameAt(0x6fff_ffff_f000n)]).toEqual([undefined, undefined]);
  });

  test('gets EINVAL for no length and ENOMEM for more than RAM, and then what it asks for', () => {
    const mm = new Mm(ram());
    expect(mm.mapAnonymous('a', fromBigint(0n))).toBe('EINVAL');
    expect(mm.mapAnonymous('a', fromBigint(0x10_0000_0000n))).toBe('ENOMEM');
    expect(mm.mapAnonymous('a', fromBigint(0x1000n))).toEqual(fromBigint(0x7000_0000_0000n));
  });

  test('maps no more than the lower half of the address space holds', () => {
    const mm = new Mm(new Ram(0, 2 ** 50));
    const gigabyte = fromBigint(2n ** 30n);
    let last = 0n;
    let answer = mm.mapAnonymous('m', gigabyte);
    for (; !isErrno(answer); answer = mm.mapAnonymous('m', gigabyte)) last = toBigint(answer);
    expect(answer).toBe('ENOMEM');
    expect(last + 2n ** 30n < 2n ** 47n && last > 2n ** 47n - 3n * 2n ** 30n).toBe(true);
  });
});

describe('contents', () => {
  const bytes = (backing: Backing, offset: number, length: number): number[] => {
    const data = new Uint8Array(length).fill(0xee);
    backing.read(offset, data);
    return [...data];
  };

  test('are zero until they are written, page by page', () => {
    const backing = new Backing('m', 4, 100);
    expect(bytes(backing, 0xffe, 4)).toEqual([0, 0, 0, 0]);
    backing.write(0x1001, Uint8Array.of(7));
    expect(bytes(backing, 0xffe, 5)).toEqual([0, 0, 0, 7, 0]);
  });

  test('are written and read to the byte, across pages and in the last', () => {
    const backing = new Backing('m', 4, 100);
    const data = Uint8Array.from({ length: 0x2002 }, (_, i) => (i & 0x7f) + 1);
    backing.write(0xfff, data);
    expect(bytes(backing, 0xfff, data.length)).toEqual([...data]);
    expect([...bytes(backing, 0xffd, 2), ...bytes(backing, 0xfff + data.length, 2)]).toEqual([0, 0, 0, 0]);
    backing.write(0x3ffe, Uint8Array.of(1, 2));
    expect(bytes(backing, 0x3ffd, 3)).toEqual([0, 1, 2]);
  });
});

test('a byte of a page has the physical address of the page and its own place', () => {
  expect([physOf(3, 0), physOf(3, 0xfff), physOf(2 ** 40 - 1, 1)]).toEqual([0x3000, 0x3fff, 2 ** 52 - 0x1000 + 1]);
});
