/**
 * The kernel's selftests in which a driver of the kernel pins, reads and writes what is mapped.
 *
 * Source: iommufd 6.3 (T-34 to T-40), 6.4 (T-55, T-73)
 */
import { describe, expect, test } from 'vitest';
import { ACCESS_RW_SLOW_PATH, ACCESS_RW_WRITE } from '../../impl/iommufd/access-rw.ts';
import { type MockAccess, mockAccessRw } from '../../impl/iommufd/mock-access.ts';
import type { MockQueue } from '../../impl/iommufd/mock-queue.ts';
import { exitMmap } from '../../impl/kernel/munmap.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import { A, at, OK, removed, U64_MAX } from '../unit/iommufd-rig.ts';
import { B, H, M, P, Selftest, VARIANTS } from './rig.ts';

/** Bytes that `m` does not hold where a test looks. */
const other = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => 0xf0 ^ i);

/** Whether bytes of a memory at `offset`, mapped at `iova`, are read and written; what was there is put back. */
function readsAndWrites(
  it: Selftest,
  mock: MockAccess,
  iova: bigint,
  offset: number,
  length: number,
  flags = 0,
  mem = 'm',
): boolean {
  const [before, read, after] = [new Uint8Array(length), new Uint8Array(length), new Uint8Array(length)];
  const written = other(length);
  const move = (data: Uint8Array, how: number): unknown =>
    it.call(mockAccessRw(mock, fromBigint(iova), data, flags | how, it.machine.mm));
  const memory = it.backing(mem);
  memory.read(offset, before);
  const answers = [move(read, 0), move(written, ACCESS_RW_WRITE)];
  memory.read(offset, after);
  answers.push(move(before, ACCESS_RW_WRITE));
  return answers.every((answer) => answer === undefined) && same(read, before) && same(after, written);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, i) => byte === b[i]);

/** ACCESS_RW of 1 to 63 bytes around the end of the first page, which is mapped at `iova`, and of the whole buffer. */
function readAndWriteAll(it: Selftest, mock: MockAccess, iova: bigint, flags: number): void {
  const wrong: [number, number][] = [];
  for (let offset = Number(P) - 50; offset < Number(P) + 50; offset++) {
    for (let length = 1; length < 64; length++) {
      if (!readsAndWrites(it, mock, iova + BigInt(offset), offset, length, flags)) wrong.push([offset, length]);
    }
  }
  expect(wrong).toEqual([]);
  const all = new Uint8Array(Number(B));
  it.backing('m').read(0, all);
  expect(it.read(mock, iova, Number(B), flags)).toEqual([...all]);
}

/** `c`: as much memory as the buffer, mapped at A by a child process. */
function child(it: Selftest): { exit(): void } {
  const parent = it.machine.process;
  const process = it.machine.addProcess('child', parent.user);
  it.machine.runAs(process);
  it.allocate('c', B);
  it.backing('c').write(0, other(256).reverse());
  expect(it.mapF(0n, B, A, 'c')).toEqual(at(A));
  it.machine.runAs(parent);
  return { exit: () => it.call(exitMmap(process.mm)) };
}

describe.each(VARIANTS)('iommufd_ioas, %s', (_, devices) => {
  test('access_domain_destory: pages stay pinned when the domain goes, until they are unpinned', () => {
    const it = new Selftest(devices);
    it.allocate('big', 2n * H);
    expect(it.mapF(0n, 2n * H, it.base, 'big')).toEqual(at(it.base));
    const mock = it.create();
    expect(it.pin(mock, it.base + P, P)).toBe(0);
    for (let i = 0; i < devices; i++) it.detach(`md${i}`);
    expect(it.pinned()).toEqual({ big: 1 });
    expect(it.unpin(mock, 0)).toBeUndefined();
    it.close(mock);
    expect(it.pinned()).toEqual({});
    it.teardown();
  });

  test('access_pin: any number of pages, once or twice, and a device that comes and goes meanwhile', () => {
    const it = new Selftest(devices);
    const mock = it.create();
    for (let pages = 1n; pages < 16n; pages++) {
      expect(it.mapF(0n, B, A)).toEqual(at(A));
      const pin = (): number => {
        const id = it.pin(mock, A, pages * P);
        expect(id).toBeTypeOf('number');
        return Number(id);
      };
      const unpin = (id: number): void => expect(it.unpin(mock, id)).toBeUndefined();
      unpin(pin());
      const [first, second] = [pin(), pin()];
      unpin(first);
      unpin(second);
      const held = pin();
      const dev = it.att();
      it.check(`h${dev}`, A, B);
      it.detach(dev);
      unpin(held);
      expect(it.unmap(A, B)).toEqual(removed(B));
      expect(it.pinned()).toEqual({});
    }
    it.close(mock);
    it.teardown();
  });

  test('access_pin_unmap: UNMAP has the access let go, so that there is nothing left to be unpinned', () => {
    const it = new Selftest(devices);
    const mock = it.create();
    it.mapF(0n, B, A);
    expect([it.pin(mock, A, B), it.unmap(A, B), it.unpin(mock, 0)]).toEqual([0, removed(B), 'ENOENT']);
    it.close(mock);
    it.teardown();
  });

  test.each([
    ['fast', 0],
    ['slow', ACCESS_RW_SLOW_PATH],
  ])('access_rw: by the %s path every byte around the end of a page, and the whole buffer', (_path, flags) => {
    const it = new Selftest(devices);
    const mock = it.create('ioas', 0);
    const iova = it.mapA(B);
    readAndWriteAll(it, mock, iova, flags);
    expect(it.unmap(iova, B)).toEqual(removed(B));
    it.close(mock);
    it.teardown();
  });

  test('access_rw_unaligned: the same of an IOVA in the middle of a page', () => {
    const it = new Selftest(devices);
    const mock = it.create('ioas', 0);
    expect(it.mapF(0n, B, it.base + M)).toEqual(at(it.base + M));
    readAndWriteAll(it, mock, it.base + M, 0);
    expect(it.unmap(it.base + M, B)).toEqual(removed(B));
    it.close(mock);
    it.teardown();
  });

  test('fork_gone: memory of a process that has ended is there as far as a domain has it, and else EFAULT', () => {
    const it = new Selftest(devices);
    const mock = it.create('ioas', 0);
    child(it).exit();
    if (!it.dom) expect(it.tryAtt()).toEqual({ err: 'EFAULT' });
    else {
      it.check(`h${it.att()}`, A, B, 'c');
      expect(readsAndWrites(it, mock, A, 0, 256, 0, 'c')).toBe(true);
    }
    it.close(mock);
    it.teardown();
  });

  test('fork_present: memory of another process that lives is pinned, read and written', () => {
    const it = new Selftest(devices);
    const mock = it.create('ioas', 0);
    const { exit } = child(it);
    it.check(`h${it.att()}`, A, B, 'c');
    expect(readsAndWrites(it, mock, A, 0, 256, 0, 'c')).toBe(true);
    exit();
    it.close(mock);
    it.teardown();
  });
});

describe.each([
  ['one_domain', 1],
  ['two_domains', 2],
])('iommufd_mock_domain, %s', (_, devices) => {
  test('user_copy: a copy outlives the IOAS that it was copied from, whatever accesses have pinned there', () => {
    const it = new Selftest(devices);
    it.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'i' });
    const v = it.mapA(B, 0n, 'm', 'i');
    const mock = it.create('i');
    expect(it.pin(mock, v, B)).toBe(0);
    expect(it.copyF('i', v, B, 'ioas', A)).toEqual(at(A));
    for (let i = 0; i < devices; i++) it.check(`hmd${i}`, A, B);
    it.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'j' });
    const w = it.mapA(B, 0n, 'm', 'j');
    expect([it.replace(mock, 'j'), mock.items.size]).toEqual([undefined, 0]);
    expect([it.unmap(A, B), it.do({ do: 'destroy', obj: 'i' })]).toEqual([removed(B), OK]);
    expect([it.pins(), it.pin(mock, w, B)]).toEqual(['0'.repeat(16), 1]);
    expect(it.copyF('j', w, B, 'ioas', A)).toEqual(at(A));
    for (let i = 0; i < devices; i++) it.check(`hmd${i}`, A, B);
    expect(it.unpin(mock, 1)).toBeUndefined();
    it.close(mock);
    expect(it.do({ do: 'destroy', obj: 'j' })).toEqual(OK);
    it.check('hmd0', A, B);
    it.teardown();
  });
});

test('iommufd_viommu.hw_queue: the page that a queue lies on cannot be unmapped until the queue is gone', () => {
  const it = new Selftest(1);
  expect([it.queue(A, P), it.queue(A, 0n), it.queue(U64_MAX, P)]).toEqual(['ENOENT', 'EINVAL', 'EOVERFLOW']);
  it.mapF(0n, P, A);
  it.mapF(P, P, A + P);
  const queue = it.queue(A, P) as MockQueue;
  expect([it.unmap(A, P), it.unmap(A + P, P)]).toEqual([{ err: 'EBUSY' }, removed(P)]);
  it.closeQueue(queue);
  expect(it.unmap(A, P)).toEqual(removed(P));
  it.teardown();
});
