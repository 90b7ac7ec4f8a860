/** The memory of a process's arguments: what is there is copied, what is not there faults. */
import { expect, test } from 'vitest';
import { fromBigint, U64_MAX } from '../../impl/kernel/units.ts';
import { after } from '../../impl/uapi/layout.ts';
import { UserMemory } from '../../impl/uapi/user-memory.ts';

const at = fromBigint;

function memory(): UserMemory {
  const it = new UserMemory();
  it.map(at(0xffen), Uint8Array.of(1, 2, 3, 4));
  it.map(at(0x1002n), Uint8Array.of(5, 6), false);
  it.map(at(2n ** 63n), Uint8Array.of(9));
  return it;
}

test('a read goes on from one stretch into its neighbour, and faults behind the last', () => {
  expect([...memory().read(at(0xfffn), 4)]).toEqual([2, 3, 4, 5]);
  expect(memory().read(at(0xfffn), 6)).toBe('EFAULT');
  expect(memory().read(at(0xffdn), 2)).toBe('EFAULT');
  expect([...memory().read(at(2n ** 63n), 1)]).toEqual([9]);
});

test('a read of nothing succeeds anywhere', () => {
  expect(memory().read(at(0n), 0)).toEqual(new Uint8Array(0));
});

test('a write shows in the memory, and one that comes upon a fault has written what comes before', () => {
  const it = memory();
  expect(it.write(at(0xffen), Uint8Array.of(7, 8))).toBeUndefined();
  expect([...it.read(at(0xffen), 6)]).toEqual([7, 8, 3, 4, 5, 6]);
  expect(it.write(at(0x1000n), Uint8Array.of(10, 11, 12))).toBe('EFAULT');
  expect([...it.read(at(0xffen), 6)]).toEqual([7, 8, 10, 11, 5, 6]);
});

test('a search for zeros ends at the first other byte, and only then at a fault', () => {
  const it = new UserMemory();
  it.map(at(0n), Uint8Array.of(0, 0, 1));
  expect([it.zeroed(at(0n), 2), it.zeroed(at(0n), 3), it.zeroed(at(0n), 99)]).toEqual([true, false, false]);
  expect([it.zeroed(at(2n), 1), it.zeroed(at(3n), 1), it.zeroed(at(3n), 0)]).toEqual([false, 'EFAULT', true]);
});

test('addresses end at 2^64', () => {
  const it = new UserMemory();
  it.map(U64_MAX, Uint8Array.of(1));
  expect([...it.read(U64_MAX, 1)]).toEqual([1]);
  expect(it.read(U64_MAX, 2)).toBe('EFAULT');
  expect(it.read(after(U64_MAX, 1), 1)).toBe('EFAULT');
  expect(() => it.map(at(2n ** 64n - 2n), new Uint8Array(3))).toThrow('ends beyond its last address');
});

test('memory that overlaps is a mistake of the test, and memory of no length is none', () => {
  const it = memory();
  expect(() => it.map(at(0x1001n), Uint8Array.of(1))).toThrow('overlaps itself');
  it.map(at(0x1001n), new Uint8Array(0));
  it.clear();
  expect(it.read(at(0xffen), 1)).toBe('EFAULT');
});
