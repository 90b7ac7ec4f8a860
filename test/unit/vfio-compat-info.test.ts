/**
 * What a VFIO container tells of itself, and how it is opened.
 *
 * Source: iommufd 1.1, 2.14, 6.4 (T-63)
 */
import { describe, expect, test } from 'vitest';
import { toBigint } from '../../impl/kernel/units.ts';
import { decode } from '../../impl/uapi/layout.ts';
import * as vfio from '../../impl/uapi/vfio-structs.ts';
import { Container, TYPE1V2 } from './container-rig.ts';
import { MOCK } from './iommufd-rig.ts';
import { RawRig } from './raw-rig.ts';

describe('GET_INFO', () => {
  const CHAIN = 24 + 16 + 16 * 2 + 16;

  test.each([
    ['without a domain, every page size', new Container(TYPE1V2, { domain: false }), 2n ** 64n - 0x1000n],
    ['with one, those that it has', new Container(), 0x4020_1000n],
    ['of half a page, ours', new Container(TYPE1V2, { config: MOCK }), 0x10_1000n],
  ])('%s', (_, it, sizes) => {
    const { answer, out } = it.info(16);
    expect([answer, toBigint(out.iova_pgsizes), out.flags]).toEqual([0, sizes, 3]);
  });

  test('says how much room it takes, writes no more than there is, and leads to a chain only if that is there', () => {
    const it = new Container();
    for (let argsz = 16; argsz <= CHAIN + 8; argsz++) {
      const { answer, out, tail } = it.info(argsz, CHAIN + 8);
      expect([answer, out.argsz, out.cap_offset], `argsz ${argsz}`).toEqual([0, CHAIN, argsz < CHAIN ? 0 : 24]);
      expect(tail.slice(Math.max(0, argsz - 24)).every((byte) => byte === 0xee)).toBe(true);
    }
    // Not even the end of its own structure, where there is no room for it.
    expect(it.info(20, 20).answer).toBe(0);
    expect(it.info(20, 19).answer).toBe('EFAULT');
  });

  test('the chain: the ranges that may be mapped, and how many mappings there may be', () => {
    const it = new Container();
    const bytes = Uint8Array.from([...new Array<number>(24).fill(0), ...it.info(CHAIN).tail]);
    const ranges = decode(vfio.CAP_IOVA_RANGE, bytes.subarray(24));
    expect(ranges).toEqual({ id: 1, version: 1, next: 24 + 48, nr_iovas: 2, reserved: 0 });
    const of = (at: number) => Object.values(decode(vfio.IOVA_RANGE, bytes.subarray(at))).map(toBigint);
    expect([of(40), of(56)]).toEqual([
      [0n, 0xfedf_ffffn],
      [0xfef0_0000n, 0xffff_ffff_ffffn],
    ]);
    expect(decode(vfio.CAP_DMA_AVAIL, bytes.subarray(72))).toEqual({ id: 3, version: 1, next: 0, avail: 2 ** 32 - 1 });
  });
});

test('open of /dev/vfio/vfio gives an iommufd that charges the process, and of /dev/iommu the user', () => {
  const rig = new RawRig();
  const mode = (path: string): unknown => {
    const fd = rig.process.open(path);
    const what = typeof fd === 'number' ? rig.machine.fds.lookup(fd)?.what : fd;
    return typeof what === 'object' && 'accountMode' in what ? what.accountMode : what;
  };
  expect(['/dev/vfio/vfio', '/dev/iommu', '/dev/nothing'].map(mode)).toEqual(['mm', 'user', 'ENOENT']);
  expect(rig.process.open('/dev/vfio/devices/dev9')).toBe('ENOENT');
  expect(rig.process.open('/dev/vfio/devices/dev0')).toBe('EBUSY');
});
