/** Where the slice of an area begins and ends, however far into its pages object. */
import { expect, test } from 'vitest';
import { Area } from '../../impl/iommufd/area.ts';
import { IoPagetable } from '../../impl/iommufd/io-pagetable.ts';
import { u64 } from '../../impl/kernel/units.ts';

test.each([0, 1, 2 ** 20 - 1, 2 ** 20, 2 ** 33, 2 ** 51])(
  'an area knows its slice, when that begins in page %d',
  (page) => {
    const area = new Area(new IoPagetable(), u64(16, 0x800), u64(19, 0x7ff), 0, u64(page, 0x200));
    expect([area.index, area.pageOffset, area.lastIndex]).toEqual([page, 0x200, page + 3]);
    expect(area.startByte(u64(17, 0))).toEqual(u64(page, 0xa00));
  },
);
