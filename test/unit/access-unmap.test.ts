/**
 * UNMAP where accesses are: who is asked to let go, how often, and what is left when somebody does not.
 *
 * Source: iommufd 2.13, 4.5 (R14), 6.3 (T-36), 6.4 (T-73), I-86
 */
import { describe, expect, test } from 'vitest';
import { Access, type AccessOps, accessAttach, accessCreate } from '../../impl/iommufd/access.ts';
import { accessPinPages, accessUnpinPages } from '../../impl/iommufd/access-pin.ts';
import type { MockQueue } from '../../impl/iommufd/mock-queue.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { type Bytes, bytes, fromBigint, type Iova, toBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { AccessRig, MAP } from './access-rig.ts';
import { A, mapFileOf, removed, U64_MAX } from './iommufd-rig.ts';
import { inTask } from './kernel-rig.ts';

const NEXT: Command = { ...MAP, offset: 0x8000n, iova: A + 0x8000n, length: 0x4000n };

/** An access whose driver does as it is told, and takes down what it is asked. */
function stubborn(rig: AccessRig, act: (access: Access) => Thread = nothing): { access: Access; asked: string[] } {
  const asked: string[] = [];
  const ops: AccessOps = {
    needsPinPages: true,
    *unmap(iova: Iova, length: Bytes): Thread {
      asked.push(`${toBigint(iova).toString(16)}+${toBigint(length).toString(16)}`);
      yield* act(access as Access);
    },
  };
  const access = inTask(() => accessCreate(rig.ioas().ctx, ops), rig.machine.kernel);
  if (!(access instanceof Access)) throw new Error(`an access answers ${access}`);
  expect(rig.call(accessAttach(access, rig.ioas().id))).toBeUndefined();
  return { access, asked };
}

function* nothing(): Thread {}

const pin = (rig: AccessRig, access: Access, iova: bigint, length: number): unknown =>
  rig.call(accessPinPages(access, fromBigint(iova), bytes(length), true));

describe('UNMAP of what accesses have pinned', () => {
  test('asks them to let go, succeeds, and leaves no pin inside the range (T-36, I-86)', () => {
    const rig = new AccessRig([MAP, NEXT]);
    const [a, b] = [rig.create(), rig.create()];
    rig.pin(a, A, 0x8000n);
    rig.pin(a, A + 0x7000n, 0x2000n);
    rig.pin(a, A + 0x9000n, 0x1000n);
    rig.pin(b, A + 0x1000n, 0x1000n);
    expect(rig.unmap(A, 0x8000n)).toEqual(removed(0x8000n));
    expect([[...a.items.keys()], [...b.items.keys()]]).toEqual([[2], []]);
    expect([rig.pins(), rig.unpin(a, 0)]).toEqual(['0000000001000000', 'ENOENT']);
    rig.expectAtRest();
  });

  test('asks for each area that is pinned, in turn, and for no other', () => {
    const rig = new AccessRig([MAP, NEXT, mapFileOf()].map((each, i) => ({ ...each, iova: A + BigInt(i) * 0x8000n })));
    const { access, asked } = stubborn(rig, function* (it) {
      if (asked.length === 1) yield* accessUnpinPages(it, fromBigint(A), bytes(0x1000));
      else yield* accessUnpinPages(it, fromBigint(A + 0x8000n), bytes(0x1000));
    });
    pin(rig, access, A, 0x1000);
    pin(rig, access, A + 0x8000n, 0x1000);
    expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0x10000n));
    expect(asked).toEqual(['1000000+8000', '1008000+4000']);
    rig.expectAtRest();
  });

  test('asks every access of the IOAS, one without pins and one that never pins too, and none of another', () => {
    const rig = new AccessRig([MAP, { do: 'ioas_alloc', ctx: 'ctx', as: 'other' }]);
    const pinning = rig.create();
    const other = stubborn(rig);
    const elsewhere = rig.create('other');
    rig.must({ ...MAP, ioas: 'other' });
    rig.pin(elsewhere, A, 0x1000n);
    rig.pin(pinning, A, 0x1000n);
    rig.create('ioas', 0);
    expect(rig.unmap(A, 0x8000n)).toEqual(removed(0x8000n));
    expect([other.asked, elsewhere.items.size]).toEqual([['1000000+8000'], 1]);
  });

  test('of a part of an area is ENOENT, and nobody is asked', () => {
    const rig = new AccessRig([MAP]);
    const { access, asked } = stubborn(rig);
    pin(rig, access, A, 0x1000);
    expect(rig.unmap(A, 0x4000n)).toEqual({ err: 'ENOENT' });
    expect([asked, rig.areas()[0]?.preventAccess]).toEqual([[], false]);
    rig.expectAtRest();
  });

  test('succeeds as soon as the access lets go, at the hundredth time of asking', () => {
    const rig = new AccessRig([MAP]);
    const { access, asked } = stubborn(rig, function* (it) {
      if (asked.length === 100) yield* accessUnpinPages(it, fromBigint(A), bytes(0x1000));
    });
    pin(rig, access, A, 0x1000);
    expect(rig.unmap(A, 0x8000n)).toEqual(removed(0x8000n));
    expect(asked.length).toBe(100);
    rig.expectAtRest();
  });

  test('is EDEADLOCK when the access does not, with areas below gone, and nobody gets at the area any more', () => {
    const rig = new AccessRig([MAP, NEXT]);
    const { access, asked } = stubborn(rig);
    const reader = rig.create('ioas', 0);
    pin(rig, access, A + 0x8000n, 0x1000);
    expect(rig.unmap(0n, U64_MAX)).toEqual({ err: 'EDEADLOCK' });
    expect([asked.length, rig.areas().map(({ preventAccess }) => preventAccess)]).toEqual([101, [true]]);
    expect([pin(rig, access, A + 0x9000n, 0x1000), rig.read(reader, A + 0x8000n, 1)]).toEqual(['EINVAL', 'EINVAL']);
    rig.expectAtRest();
    // COPY is no access, and the area can still go.
    expect(rig.copy(A + 0x8000n, 0x4000n, { dst_iova: A })).toHaveProperty('ok');
    rig.call(accessUnpinPages(access, fromBigint(A + 0x8000n), bytes(0x1000)));
    expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0x8000n));
    rig.expectAtRest();
  });

  test('counts afresh for each area: two that let go slowly are both unmapped', () => {
    const rig = new AccessRig([MAP, NEXT]);
    const { access, asked } = stubborn(rig, function* (it) {
      const at = asked.length === 60 ? A : A + 0x8000n;
      if (asked.length % 60 === 0) yield* accessUnpinPages(it, fromBigint(at), bytes(0x1000));
    });
    pin(rig, access, A, 0x1000);
    pin(rig, access, A + 0x8000n, 0x1000);
    expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0xc000n));
    expect(asked.length).toBe(120);
  });

  test('lets a pin that comes meanwhile fail with EINVAL (R14)', () => {
    const rig = new AccessRig([MAP]);
    const late: unknown[] = [];
    const { access } = stubborn(rig, function* (it) {
      late.push(yield* accessPinPages(it, fromBigint(A + 0x4000n), bytes(0x1000), true));
      yield* accessUnpinPages(it, fromBigint(A), bytes(0x1000));
    });
    pin(rig, access, A, 0x1000);
    expect(rig.unmap(A, 0x8000n)).toEqual(removed(0x8000n));
    expect(late).toEqual(['EINVAL']);
  });

  // The kernel went on with the area that it had found before it asked; another UNMAP had freed it (804ca14d04df).
  test('finds the area anew when somebody else has unmapped it meanwhile: ENOENT (H-11)', () => {
    const rig = new AccessRig([MAP]);
    let answer: unknown;
    const { access, asked } = stubborn(rig, function* (it) {
      if (asked.length > 1) return;
      yield* accessUnpinPages(it, fromBigint(A), bytes(0x1000));
      answer = rig.unmap(A, 0x8000n);
      rig.must({ ...MAP, iova: A - 0x10000n });
    });
    pin(rig, access, A, 0x1000);
    // What was placed below the area meanwhile is none of its business.
    expect(rig.unmap(A - 0x20000n, 0x40000n)).toEqual({ err: 'ENOENT' });
    expect([answer, rig.areas().map(({ iova }) => toBigint(iova))]).toEqual([removed(0x8000n), [A - 0x10000n]]);
    rig.expectAtRest();
  });
});

describe('an internal access', () => {
  test('locks what it has pinned: UNMAP is EBUSY, and of anything else it is not (T-73)', () => {
    const rig = new AccessRig([MAP, NEXT]);
    const queue = rig.queue(A + 0x8000n, 0x1000n) as MockQueue;
    const other = rig.create();
    rig.pin(other, A, 0x1000n);
    rig.pin(other, A + 0x8000n, 0x1000n);
    // EBUSY is said before ENOENT, and nobody is asked to let go.
    expect(rig.unmap(A + 0x8000n, 0x1000n)).toEqual({ err: 'EBUSY' });
    expect(rig.unmap(A, 0xc000n)).toEqual({ err: 'EBUSY' });
    expect([rig.areas().length, [...other.items.keys()], rig.pins()]).toEqual([1, [1], '0000000010000000']);
    rig.closeQueue(queue);
    expect(rig.unmap(A + 0x8000n, 0x4000n)).toEqual(removed(0x4000n));
    rig.expectAtRest();
  });

  test.each<[what: string, iova: bigint, length: bigint, answer: string]>([
    ['no length: EINVAL', A, 0n, 'EINVAL'],
    ['a range that wraps: EOVERFLOW', U64_MAX, 2n, 'EOVERFLOW'],
    ['nothing mapped: ENOENT', A + 0x10000n, 0x1000n, 'ENOENT'],
    ['pages that do not lie together: EFAULT', A + 0x7000n, 0x2000n, 'EFAULT'],
    ['an IOAS whose areas are not aligned: EADDRINUSE', 0n, 0x1000n, 'EADDRINUSE'],
  ])('is not made over %s', (_, iova, length, answer) => {
    const rig = new AccessRig([MAP, { ...mapFileOf(), fd: 'f', iova: A + 0x8000n }]);
    if (answer === 'EADDRINUSE') rig.must({ ...MAP, iova: 0x100n, length: 0x100n });
    expect(rig.queue(iova, length)).toBe(answer);
    expect([rig.pinned(), rig.accesses(), rig.ioas().users]).toEqual([{}, [], 1]);
    rig.expectAtRest();
  });

  test('is a user of its IOAS, and none of the context', () => {
    const rig = new AccessRig([MAP]);
    const { ctx } = rig.ioas();
    const before = ctx.file.refs.count;
    const queue = rig.queue(A, 0x1000n) as MockQueue;
    expect([ctx.file.refs.count, rig.ioas().users, rig.alignment()]).toEqual([before, 2, 0x1000]);
    rig.closeQueue(queue);
    rig.expectAtRest();
  });
});
