/** Structures as bytes: each field where the headers have it, all 64 bits of it, and what a short one leaves open. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBigint, toBigint } from '../../impl/kernel/units.ts';
import * as iommufd from '../../impl/uapi/iommufd-structs.ts';
import { copyStruct, decode, encode, type Field, type Layout, sizeOf } from '../../impl/uapi/layout.ts';
import { UserMemory } from '../../impl/uapi/user-memory.ts';
import * as vfio from '../../impl/uapi/vfio-structs.ts';

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/(.{8})(?!$)/g, '$1 ');

const exported: readonly unknown[] = Object.values({ ...iommufd, ...vfio });
const layouts = exported.filter((it): it is Layout => typeof it === 'object');

/** A structure in which the bytes of each field spell its place in the list of fields, from 1 on. */
function marked(layout: Layout): string {
  const bytes = new Uint8Array(layout.size);
  Object.entries(layout.fields).forEach(([name, { width }], i) => {
    const value = BigInt(`0x${(i + 1).toString(16).padStart(2, '0').repeat(width)}`);
    encode(layout, { [name]: width === 8 ? fromBigint(value) : Number(value) }, bytes);
  });
  return `${layout.size}/${layout.min} ${hex(bytes)}`;
}

/** sizeof / least: every byte by the number of its field, 00 where there is none. From the tables of the headers. */
const HEADERS: Readonly<Record<string, string>> = {
  iommu_destroy: '8/8 01010101 02020202',
  iommu_ioas_alloc: '12/12 01010101 02020202 03030303',
  iommu_ioas_iova_ranges: '32/32 01010101 02020202 03030303 04040404 05050505 05050505 06060606 06060606',
  iommu_iova_range: '16/16 01010101 01010101 02020202 02020202',
  iommu_ioas_allow_iovas: '24/24 01010101 02020202 03030303 04040404 05050505 05050505',
  iommu_ioas_map: '40/40 01010101 02020202 03030303 04040404 05050505 05050505 06060606 06060606 07070707 07070707',
  iommu_ioas_map_file:
    '40/40 01010101 02020202 03030303 04040404 05050505 05050505 06060606 06060606 07070707 07070707',
  iommu_ioas_copy: '40/40 01010101 02020202 03030303 04040404 05050505 05050505 06060606 06060606 07070707 07070707',
  iommu_ioas_unmap: '24/24 01010101 02020202 03030303 03030303 04040404 04040404',
  iommu_option: '24/24 01010101 02020202 03030404 05050505 06060606 06060606',
  iommu_ioas_change_process: '8/8 01010101 02020202',
  iommu_vfio_ioas: '12/12 01010101 02020202 03030404',
  iommu_hwpt_alloc:
    '48/24 01010101 02020202 03030303 04040404 05050505 06060606 07070707 08080808 09090909 09090909 0a0a0a0a 0b0b0b0b',
  vfio_iommu_type1_dma_map: '32/32 01010101 02020202 03030303 03030303 04040404 04040404 05050505 05050505',
  vfio_iommu_type1_dma_unmap: '24/24 01010101 02020202 03030303 03030303 04040404 04040404',
  vfio_iommu_type1_info: '24/16 01010101 02020202 03030303 03030303 04040404 05050505',
  vfio_info_cap_header: '8/8 01010202 03030303',
  vfio_iommu_type1_info_cap_iova_range: '16/16 01010202 03030303 04040404 05050505',
  vfio_iova_range: '16/16 01010101 01010101 02020202 02020202',
  vfio_iommu_type1_info_dma_avail: '12/12 01010202 03030303 04040404',
  vfio_device_bind_iommufd: '24/16 01010101 02020202 03030303 04040404 05050505 05050505',
  vfio_device_attach_iommufd_pt: '16/12 01010101 02020202 03030303 04040404',
  vfio_device_detach_iommufd_pt: '12/8 01010101 02020202 03030303',
  vfio_device_feature: '8/8 01010101 02020202',
  vfio_device_low_power_entry_with_wakeup: '8/8 01010101 02020202',
  vfio_device_feature_dma_buf: '16/16 01010101 02020202 03030303 04040404',
  vfio_device_feature_dma_buf_revoke: '4/4 01010101',
  vfio_device_feature_dma_buf_memattr: '8/8 01010101 02020202',
  vfio_region_dma_range: '16/16 01010101 01010101 02020202 02020202',
  vfio_pci_hot_reset: '12/12 01010101 02020202 03030303',
};

test('every structure has the size, the least size and the fields of the headers', () => {
  expect(Object.fromEntries(layouts.map((layout) => [layout.name, marked(layout)]))).toEqual(HEADERS);
});

test('an export of one range is the bytes of the documented example', () => {
  const bytes = new Uint8Array(0x28);
  encode(vfio.DEVICE_FEATURE, { argsz: 0x28, flags: vfio.FEATURE_GET | vfio.FEATURE_DMA_BUF }, bytes);
  encode(vfio.FEATURE_DATA_DMA_BUF, { region_index: 2, open_flags: 0x80002, nr_ranges: 1 }, bytes.subarray(8));
  const range = { offset: fromBigint(0x1000n), length: fromBigint(0x2000n) };
  encode(vfio.REGION_DMA_RANGE, range, bytes.subarray(24));
  expect(hex(bytes)).toBe('28000000 0b000100 02000000 02000800 00000000 01000000 00100000 00000000 00200000 00000000');
});

test('any value of any field is read back as it was written, and no other field changes', () => {
  const value = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const field = fc.constantFrom(
    ...layouts.flatMap((layout) => Object.keys(layout.fields).map((name) => ({ layout, name }))),
  );
  fc.assert(
    fc.property(field, value, fc.uint8Array({ minLength: 64, maxLength: 64 }), ({ layout, name }, whole, noise) => {
      const { width, signed } = layout.fields[name] as Field;
      const before = decode(layout, noise);
      const exact = BigInt.asUintN(width * 8, whole);
      encode(layout, { [name]: width === 8 ? fromBigint(exact) : Number(exact) }, noise);
      const after = decode(layout, noise);
      const found = after[name];
      expect(typeof found === 'number' ? BigInt(found) : toBigint(found as never)).toBe(
        signed ? BigInt.asIntN(width * 8, exact) : exact,
      );
      expect({ ...after, [name]: 0 }).toEqual({ ...before, [name]: 0 });
    }),
    { seed: 1 },
  );
});

describe('a structure of which the user has more, or less, than the kernel', () => {
  const at = fromBigint(0xfff8n);
  const memory = (...bytes: readonly number[]): UserMemory => {
    const it = new UserMemory();
    it.map(at, Uint8Array.from(bytes));
    return it;
  };

  test.each([
    ['less: the rest is zero', memory(4, 0, 0, 0), 4, [4, 0, 0, 0, 0, 0, 0, 0]],
    ['as much', memory(8, 0, 0, 0, 1, 2, 3, 4), 8, [8, 0, 0, 0, 1, 2, 3, 4]],
    ['more, all zero: what is more is dropped', memory(10, 0, 0, 0, 1, 2, 3, 4, 0, 0), 10, [10, 0, 0, 0, 1, 2, 3, 4]],
    ['more, and not zero', memory(10, 0, 0, 0, 1, 2, 3, 4, 0, 1), 10, 'E2BIG'],
    ['more, which is not there', memory(10, 0, 0, 0, 1, 2, 3, 4), 10, 'EFAULT'],
    ['much more, of which what is there is not zero', memory(10, 0, 0, 0, 1, 2, 3, 4, 1), 2 ** 32 - 1, 'E2BIG'],
    ['as much, which is not there', memory(8, 0, 0, 0), 8, 'EFAULT'],
  ])('%s', (_, user, size, expected) => {
    expect(sizeOf(user, at)).toBe(user.read(at, 1)[0]);
    const got = copyStruct(user, at, 8, size);
    expect(typeof got === 'string' ? got : [...got]).toEqual(expected);
  });

  test('no size where there is no memory', () => {
    expect(sizeOf(memory(1, 2, 3), at)).toBe('EFAULT');
  });
});
