/** The page table of a process: leaves of three sizes, the tables above them, and what removes both. */
import { expect, test } from 'vitest';
import { CpuPageTable, type Order } from '../../impl/kernel/cpu-page-table.ts';
import { PAGE_SHARED } from '../../impl/kernel/pgprot.ts';
import { inTask, splatOf } from './kernel-rig.ts';

const GIB = 2 ** 18;
const insert = (table: CpuPageTable, page: number, pfn: number, order: Order): boolean =>
  inTask(() => table.insert({ page, pfn, order, prot: PAGE_SHARED }));

test('a page table translates by leaves of every size', () => {
  const table = new CpuPageTable();
  expect(insert(table, 3 * GIB, GIB, 18) && insert(table, 4 * GIB + 512, 512, 9)).toBe(true);
  expect(insert(table, 4 * GIB + 5, 77, 0)).toBe(true);
  const at = [3 * GIB + 9, 4 * GIB - 1, 4 * GIB, 4 * GIB + 5, 4 * GIB + 512, 4 * GIB + 1023, 4 * GIB + 1024];
  expect(at.map((page) => table.translate(page))).toEqual([GIB + 9, 2 * GIB - 1, undefined, 77, 512, 1023, undefined]);
  expect(table.tables.length).toBe(2);
});

test('a page table says where a leaf of a size may come: where there is neither a leaf nor a table', () => {
  const table = new CpuPageTable();
  insert(table, 5, 77, 0);
  insert(table, GIB, GIB, 18);
  expect([table.isNone(6, 18), table.isNone(6, 9), table.isNone(512, 9)]).toEqual([false, false, true]);
  expect([table.isNone(GIB + 1, 18), table.isNone(GIB + 1, 9), table.isNone(2 * GIB, 18)]).toEqual([
    false,
    false,
    true,
  ]);
});

test('an insert keeps what another fault has entered meanwhile, and splats when it shows something else', () => {
  const table = new CpuPageTable();
  insert(table, 512, 1024, 9);
  expect([insert(table, 512, 1024, 9), insert(table, 514, 1026, 0)]).toEqual([true, true]);
  expect(table.leaves()).toEqual([{ page: 512, pfn: 1024, order: 9, prot: PAGE_SHARED }]);
  expect(splatOf(() => insert(table, 514, 1027, 0))).toBe('WARN: a page shows something else already');
});

test('a zap removes a large leaf of which any page goes, and no table', () => {
  const table = new CpuPageTable();
  insert(table, 512, 1024, 9);
  insert(table, 1024, 2048, 9);
  table.zap(1023, 1023);
  expect([table.leaves().map(({ page }) => page), table.tables.length]).toEqual([[1024], 1]);
});

test('an insert splats where smaller leaves have a table', () => {
  const table = new CpuPageTable();
  insert(table, 513, 9, 0);
  expect(splatOf(() => insert(table, 512, 8, 9))).toBe('WARN: a leaf comes where a table is');
  expect(table.leaves()).toEqual([{ page: 513, pfn: 9, order: 0, prot: PAGE_SHARED }]);
});
