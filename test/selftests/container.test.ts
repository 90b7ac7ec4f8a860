/**
 * The kernel's selftests of a VFIO container, and of handing pinned pages over to another process.
 *
 * Source: iommufd 6.4 (T-60 to T-65)
 */
import { describe, expect, test } from 'vitest';
import { handOverToCaller } from '../../impl/iommufd/accounting.ts';
import { ioasChangeProcess } from '../../impl/iommufd/change-process.ts';
import { toBigint } from '../../impl/kernel/units.ts';
import { decode } from '../../impl/uapi/layout.ts';
import * as vfio from '../../impl/uapi/vfio-structs.ts';
import type { Command } from '../../trace/command.ts';
import { Container, TYPE1, TYPE1V2 } from '../unit/container-rig.ts';
import { A, at, CONFIG, MOCK_LANE, Rig, removed } from '../unit/iommufd-rig.ts';
import { n } from '../unit/raw-rig.ts';
import { B, H, LAST, P } from './rig.ts';

/** The mock IOMMU with a device that a container can attach. */
const MACHINE = { ...MOCK_LANE, devices: CONFIG.devices };
/** In this order are sixteen pieces unmapped. */
const SHUFFLED = [3n, 0n, 15n, 7n, 8n, 1n, 14n, 2n, 5n, 4n, 6n, 13n, 9n, 10n, 12n, 11n];

test.each(['none', 'user', 'mm'] as const)(
  'change_process.basic, %s: memory cannot be handed over; pages of a file are counted for whoever asks last',
  (mode) => {
    const rig = new Rig(MOCK_LANE);
    rig.must({ do: 'mock_domain', ioas: 'ioas', as: 'h', dev: 'md0' });
    rig.must({ do: 'mem_alloc', as: 'm', length: B }, { do: 'memfd_create', as: 'f', length: B });
    const parent = rig.machine.process;
    parent.capIpcLock = mode === 'none';
    if (mode !== 'none') rig.ioas().ctx.accountMode = mode;
    const change = () => rig.call(ioasChangeProcess(rig.ioas().ctx, 0, handOverToCaller));
    rig.must({ do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: P, prot: 'rw', iova: A });
    expect([change(), rig.unmap(A, P)]).toEqual(['EINVAL', removed(P)]);
    const file: Command = { do: 'ioas_map_file', ioas: 'ioas', fd: 'f', start: 0n, length: P, prot: 'rw' };
    expect([rig.do(file), change()]).toEqual([at(A), undefined]);
    const child = rig.machine.addProcess('child', parent.user);
    child.capIpcLock = mode === 'none';
    const counts = () => [parent, child].map(({ mm }) => [mm.pinnedVm, mm.lockedVm]);
    const locked = mode === 'mm' ? 1 : 0;
    expect(counts()).toEqual([
      [1, locked],
      [0, 0],
    ]);
    rig.machine.runAs(child);
    expect(change()).toBeUndefined();
    expect(counts()).toEqual([
      [0, 0],
      [1, locked],
    ]);
    rig.expectAtRest();
  },
);

describe.each([
  ['type 1', TYPE1],
  ['type 1, version 2', TYPE1V2],
])('vfio_compat_mock_domain, %s', (_, version) => {
  const open = (): Container => new Container(version, { config: MACHINE });

  test('simple_close: an IOAS, a device and a version, and all of it is closed', () => {
    const it = open();
    it.must({ do: 'iommufd_close', ctx: 'ctx' }, { do: 'vfio_close', dev: 'dev0' }, { do: 'vfio_close', dev: 'dev1' });
    expect(it.pinned()).toEqual({});
    it.expectAtRest();
  });

  test('option_huge_pages: version 2 has large pages, the first has none', () => {
    expect(open().ioas().iopt.disableLargePages).toBe(version === TYPE1);
  });

  test('get_info: of every length from 16 on, no chain or a whole one, and nothing behind what was offered', () => {
    const it = open();
    const least = it.info(16);
    expect([least.answer, toBigint(least.out.iova_pgsizes) !== 0n, least.out.flags]).toEqual([0, true, 3]);
    const { answer, out } = it.info(24);
    const whole = out.argsz;
    expect([answer, out.cap_offset, whole > 24]).toEqual([0, 0, true]);
    for (let argsz = 16; argsz <= whole; argsz++) {
      const got = it.info(argsz, whole + 8);
      expect([got.answer, got.out.argsz, got.out.cap_offset]).toEqual([0, whole, argsz < whole ? 0 : 24]);
      expect(got.tail.slice(Math.max(0, argsz - 24)).every((byte) => byte === 0xee)).toBe(true);
    }
    const bytes = Uint8Array.from([...new Array<number>(24).fill(0), ...it.info(whole).tail]);
    const ranges = decode(vfio.CAP_IOVA_RANGE, bytes.subarray(24));
    expect(ranges).toMatchObject({ id: vfio.CAP_ID_IOVA_RANGE, version: 1, nr_iovas: 1 });
    const range = decode(vfio.IOVA_RANGE, bytes.subarray(40));
    expect([toBigint(range.start), toBigint(range.end)]).toEqual([A, LAST]);
    expect(decode(vfio.CAP_DMA_AVAIL, bytes.subarray(ranges.next))).toMatchObject({ id: 3, version: 1, next: 0 });
  });

  test('map: what is unmapped says its size, once more 0; everything at once; page by page in any order', () => {
    const it = open();
    expect([it.mapDma(A, B), it.unmapDma(A, B), it.unmapDma(A, B)]).toEqual([0, [0, B], [0, 0n]]);
    expect([it.mapDma(A, B), it.unmapDma(A, 0n, 2)]).toEqual([0, ['EINVAL', 0n]]);
    expect(it.unmapDma(0n, 0n, 2)).toEqual([0, B]);
    for (let page = 0n; page < 16n; page++) expect(it.mapDma(A + page * P, P)).toBe(0);
    for (const page of SHUFFLED) expect(it.unmapDma(A + page * P, P)).toEqual([0, P]);
    expect([it.pinned(), it.reach('dev0')]).toEqual([{}, []]);
    it.expectAtRest();
  });

  test('huge_map: sixteenths of two huge pages are unmapped one by one, in version 2 none of them', () => {
    const it = open();
    it.must({ do: 'mem_alloc', as: 'big', length: 2n * H });
    const named = it.machine.names.get('big');
    expect(it.mapDma(A, 2n * H, { vaddr: named?.kind === 'mem' ? named.address : n(0n) })).toBe(0);
    const size = H / 8n;
    for (const piece of SHUFFLED)
      expect(it.unmapDma(A + piece * size, size)).toEqual(version === TYPE1 ? [0, size] : ['ENOENT', 0n]);
    expect(it.pinned()).toEqual(version === TYPE1 ? {} : { big: 1024 });
    it.expectAtRest();
  });
});
