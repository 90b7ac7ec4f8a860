/**
 * The kernel's selftests of the fixture `iommufd_ioas` that need more than a trace can say: reservations of the test's
 * own, an IOAS that is not there, options that are read, and every length and offset.
 *
 * Source: iommufd 6.3
 */
import { describe, expect, test } from 'vitest';
import { IommuGroup } from '../../impl/iommu/group.ts';
import { iommufdOption, OPTION_GET, OPTION_HUGE_PAGES, OPTION_SET } from '../../impl/iommufd/option.ts';
import { iommufdTestMockDomain, MockDevice } from '../../impl/iommufd/selftest.ts';
import { fromBigint, toBigint } from '../../impl/kernel/units.ts';
import { IOMMU_IOAS_IOVA_RANGES, IOMMU_IOVA_RANGE } from '../../impl/uapi/iommufd-structs.ts';
import { decode } from '../../impl/uapi/layout.ts';
import { A, at, MOCK_LANE, OK, removed, U64_MAX } from '../unit/iommufd-rig.ts';
import { ARRAY, n, RawRig } from '../unit/raw-rig.ts';
import { B, LAST, M, offsetOf, P, reserve, Selftest, VARIANTS } from './rig.ts';

const err = (name: string) => ({ err: name });
/** What an array holds that nobody has written to. */
const UNTOUCHED = 0x5555_5555_5555_5555n;
const lowestBit = (length: bigint): bigint => length & -length;
/** Lengths of one page to ten. */
const LENGTHS = Array.from({ length: 10 }, (_, i) => BigInt(i + 1) * P);

describe.each(VARIANTS)('iommufd_ioas, %s', (_, devices) => {
  test('hwpt_attach: a device is attached by the number of a HWPT, and by 0 it is not', () => {
    const it = new Selftest(devices);
    if (it.dom) it.att('hmd0');
    else {
      const device = new MockDevice('md0', new IommuGroup(0), []);
      expect(it.call(iommufdTestMockDomain(it.ioas().ctx, 0, device))).toBe('ENOENT');
    }
    it.teardown();
  });

  test('area_auto_iova: aligned as the length is, outside what is reserved, inside what is allowed', () => {
    const it = new Selftest(devices);
    const ten = LENGTHS.map(() => it.mapA(P));
    expect(ten.map((iova) => it.unmap(iova, P))).toEqual(ten.map(() => removed(P)));
    const maps = (offset: bigint): [bigint, bigint][] => {
      const all = LENGTHS.map((length): [bigint, bigint] => [it.mapA(length, offset), length]);
      for (const [iova, length] of all) expect(iova % lowestBit(length)).toBe(0n);
      expect(all.map(([iova, length]) => it.unmap(iova, length))).toEqual(LENGTHS.map(removed));
      return all.map(([iova, length]) => [iova, iova + length - 1n]);
    };
    maps(it.dom ? 0n : offsetOf(it, 1n << 31n));
    expect(reserve(it, 4n * P, 100n * P)).toBeUndefined();
    for (const [first, last] of maps(0n)) expect(last < 4n * P || first >= 104n * P).toBe(true);
    expect(it.allow([P, 600n * P])).toEqual(err('EADDRINUSE'));
    const [from, to] = it.dom ? [A + P, A + 600n * P - 1n] : [200n * P, 600n * P - 1n];
    expect(it.allow([from, to])).toEqual(OK);
    for (const [first, last] of maps(0n)) expect(from <= first && last <= to).toBe(true);
    it.teardown();
  });

  test('reserved_overflow: nearly everything may be reserved once more, and then there is no room', () => {
    const it = new Selftest(devices);
    expect(reserve(it, 6n, 0xffff_ffff_ffff_8001n)).toBeUndefined();
    expect(it.map('m', 0x5000n)).toEqual(err('ENOSPC'));
    it.teardown();
  });

  test('area_allowed: what is allowed cannot be reserved, nor what is reserved be allowed', () => {
    const it = new Selftest(devices);
    const all: [bigint, bigint] = [it.base, it.base + 600n * P];
    expect([it.allow(all), reserve(it, it.base + P, P)]).toEqual([OK, 'EADDRINUSE']);
    expect([it.allow(), reserve(it, it.base + P, P)]).toEqual([OK, undefined]);
    expect(it.allow(all)).toEqual(err('EADDRINUSE'));
    it.teardown();
  });

  test('iova_ranges: as many as there is room for, and how many there are, before and after a reservation', () => {
    const rig = new RawRig(MOCK_LANE);
    for (let i = 0; i < devices; i++) rig.must({ do: 'mock_domain', ioas: 'ioas', as: 'h', dev: `md${i}` });
    const ranges = (num_iovas: number) => {
      const array = new Uint8Array(10 * 16).fill(0x55);
      const values = { ioas_id: rig.id(), num_iovas, allowed_iovas: ARRAY };
      const { answer, out } = rig.raw(0x3b84, IOMMU_IOAS_IOVA_RANGES, values, { array });
      const found = Array.from({ length: 10 }, (_, i) => decode(IOMMU_IOVA_RANGE, array.subarray(16 * i)));
      const written = found.filter(({ start }) => toBigint(start) !== UNTOUCHED);
      return { answer, num: out.num_iovas, alignment: out.out_iova_alignment, found: written };
    };
    const range = (start: bigint, last: bigint) => ({ start: n(start), last: n(last) });
    const whole = devices > 0 ? range(A, LAST) : range(0n, U64_MAX);
    const alignment = n(devices > 0 ? 2048n : 1n);
    expect(ranges(10)).toEqual({ answer: 0, num: 1, alignment, found: [whole] });
    expect(ranges(0)).toMatchObject({ answer: 'EMSGSIZE', num: 1, found: [] });
    expect(reserve(rig, P, P)).toBeUndefined();
    const rest = devices > 0 ? [whole] : [range(0n, P - 1n), range(2n * P, U64_MAX)];
    expect(ranges(10)).toMatchObject({ answer: 0, num: rest.length, found: rest });
    expect(ranges(1)).toMatchObject({
      answer: devices > 0 ? 0 : 'EMSGSIZE',
      num: rest.length,
      found: rest.slice(0, 1),
    });
  });

  test('ioas_option_huge_pages: on at first, and what was set last, 0 or 1', () => {
    const it = new Selftest(devices);
    const option = (op: number, value = 0n) =>
      it.call(
        iommufdOption(it.ioas().ctx, {
          option: OPTION_HUGE_PAGES,
          op,
          objectId: it.ioas().id,
          value: fromBigint(value),
        }),
      );
    expect([option(OPTION_GET), option(OPTION_SET), option(OPTION_GET)]).toEqual([n(1n), n(0n), n(0n)]);
    expect([option(OPTION_SET, 2n), option(OPTION_SET, 1n)]).toEqual(['EINVAL', n(1n)]);
    it.teardown();
  });

  test('ioas_iova_alloc: every length up to two pages is placed, with a domain every multiple of half a page', () => {
    const it = new Selftest(devices);
    for (let length = 1n; length < 2n * P; length++) {
      const answer = it.map('m', length);
      if (it.dom && length % M !== 0n) expect(answer, `${length}`).toEqual(err('EINVAL'));
      else {
        const iova = 'ok' in answer ? (answer.ok.iova ?? -1n) : -1n;
        expect([answer, it.unmap(iova, length)], `${length}`).toEqual([at(iova), removed(length)]);
      }
    }
    it.teardown();
  });

  test('copy_sweep: a source at every multiple of 511 is copied if all of it is mapped, and else ENOENT', () => {
    const it = new Selftest(devices);
    const last = it.dom ? A + B - 1n : A + B - 2n;
    it.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'n' });
    expect(it.mapF(0n, last - A + 1n, A)).toEqual(at(A));
    let copied = 0;
    for (let iova = A - P; iova <= last; iova += 511n) {
      const answer = it.copyF('ioas', iova, M, 'n', A);
      if (iova < A || iova + M - 1n > last) expect(answer).toEqual(err('ENOENT'));
      else {
        expect([answer, it.unmap(A, M, 'n')], `${iova}`).toEqual([at(A), removed(M)]);
        copied++;
      }
    }
    expect(copied).toBe(124);
    expect(it.do({ do: 'destroy', obj: 'n' })).toEqual(OK);
    it.teardown();
  });
});
