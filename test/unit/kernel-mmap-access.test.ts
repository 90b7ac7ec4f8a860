/**
 * What mmap asks of the file before and after the file is asked: its mode, and whose reference the mapping holds.
 *
 * Source: vfio-dmabuf 2.5, 4.6, 6.4
 */
import { describe, expect, test } from 'vitest';
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import type { Vma } from '../../impl/kernel/vma.ts';
import { DeviceMemory } from '../../properties/mm/world.ts';
import { MmRig } from './mm-rig.ts';

type Access = 'rw' | 'r' | 'w' | '';

const protOf = (prot: Access) => ({ read: prot.includes('r'), write: prot.includes('w') });

describe('mmap of a file that is open', () => {
  test.each<[mode: Access, kind: 'shared' | 'private', prot: Access, expected: string]>([
    ['rw', 'shared', 'rw', 'READ WRITE SHARED'],
    ['rw', 'shared', 'r', 'READ SHARED'],
    ['rw', 'shared', 'w', 'WRITE SHARED'],
    ['rw', 'shared', '', 'SHARED'],
    ['rw', 'private', 'rw', 'READ WRITE'],
    ['r', 'shared', 'rw', 'EACCES'],
    ['r', 'shared', 'w', 'EACCES'],
    ['r', 'shared', 'r', 'READ'],
    ['r', 'shared', '', ''],
    ['r', 'private', 'rw', 'READ WRITE'],
    ['w', 'shared', 'rw', 'EACCES'],
    ['w', 'shared', 'w', 'EACCES'],
    ['w', 'shared', 'r', 'EACCES'],
    ['w', 'private', 'r', 'EACCES'],
  ])('%s, %s, for "%s" is "%s"', (mode, kind, prot, expected) => {
    const rig = new MmRig();
    const file = rig.file(rig.memfd, 'f', mode);
    const vma = rig.mmap(file, 1, { shared: kind === 'shared', ...protOf(prot) });
    expect(typeof vma === 'string' ? vma : [...vma.flags].join(' ')).toBe(expected);
    expect(file.refs.count).toBe(typeof vma === 'string' ? 1 : 2);
  });

  test('asks the mode after the offset, and before it asks whether such a file can be mapped', () => {
    const rig = new MmRig();
    const file = rig.file({}, 'f', 'r');
    const answers = [{ pgoff: 2 ** 52 - 1 }, {}, { write: false }].map((how) => rig.mmap(file, 1, how));
    expect(answers).toEqual(['EOVERFLOW', 'EACCES', 'ENODEV']);
  });
});

test.each<[prot: Access, found: number | string]>([
  ['rw', 0],
  ['r', 0],
  ['w', 0],
  ['', 'SIGSEGV'],
])('a read of a mapping for "%s" finds %s', (prot, found) => {
  const rig = new MmRig();
  const vma = rig.mmap(rig.memfdFile, 1, protOf(prot)) as Vma;
  expect(rig.touch(vma.startPage)).toBe(found);
});

/** A file that puts another in its place, or refuses to be mapped when it has done so. */
class Swapping extends DeviceMemory {
  readonly rig: MmRig;
  readonly answer: Errno | undefined;

  constructor(rig: MmRig, answer?: Errno) {
    super();
    this.rig = rig;
    this.answer = answer;
  }

  override *mmap(vma: Vma): Thread<undefined> {
    yield* this.rig.device.mmap(vma);
    vma.file?.put();
    this.rig.deviceFile.get();
    vma.file = this.rig.deviceFile;
    vma.mapping = this.rig.device.mapping;
    return this.answer as undefined;
  }
}

test('mmap holds, and is in the tree of, the file that the mapped one has put in its place', () => {
  const rig = new MmRig();
  const file = rig.file(new Swapping(rig));
  const { startPage } = rig.mapped(file, 2);
  expect([file.refs.count, rig.deviceFile.refs.count, rig.device.mapping.vmas.length, rig.audit()]).toEqual([
    1,
    2,
    1,
    [],
  ]);
  rig.munmap(startPage, 1);
  expect([rig.deviceFile.refs.count, rig.audit()]).toEqual([2, []]);
});

test('mmap gives back the reference of the file that was put in the place of one that refuses', () => {
  const rig = new MmRig();
  const file = rig.file(new Swapping(rig, 'EBUSY'));
  expect(rig.mmap(file, 2)).toBe('EBUSY');
  expect([file.refs.count, rig.deviceFile.refs.count, rig.mm.vmas, rig.audit()]).toEqual([1, 1, [], []]);
});
