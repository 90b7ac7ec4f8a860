/** The lists of DMA addresses that an importer is given: V-40 to V-43. */
import { check, edit, proof, type Row, type Test, test } from './row.ts';

const ENTRIES = 'impl/dmabuf/sg-entries.ts';
const TABLE = 'impl/dmabuf/sg-table.ts';
const PATH = 'impl/dmabuf/dma-path.ts';
const SG_TEST = 'test/unit/sg-table.test.ts';
const FAULT_TEST = 'test/unit/sg-faults.test.ts';

const oracle = check('property', 'test/properties/sg-table.test.ts', 'differences');
const examples = check('property', SG_TEST, 'EXAMPLES');

const EXAMPLE = '$name with pages of $pageSize bytes, by $way';
const example = (name: string, pageSize: number, way: string): Test =>
  test(SG_TEST, `example ${name} with pages of ${pageSize} bytes, by ${way}`, 'example', EXAMPLE);

const FAULT = 'by $way, at point $nth, $site, leaves the DMA API as it was';
const fault = (way: string, nth: number, site: string): Test =>
  test(
    FAULT_TEST,
    `a map with one fault by ${way}, at point ${nth}, ${site}, leaves the DMA API as it was`,
    'a map with one fault',
    FAULT,
  );

const WINDOW_GIVEN_BACK = `    if (this.#mapped > 0) this.#dma.iovaUnlink(this.#state, this.#mapped);
    this.#dma.iovaFree(this.#state);`;

export const tables: readonly Row[] = [
  {
    id: 'V-40',
    says: 'A list is its ranges one after the other, or one window: whole pages, each entry as long as can be.',
    checks: [oracle, examples, check('splat', 'impl/iommu/dma-iommu.ts', 'and not at its end')],
    proofs: [
      proof(
        'an address is worked out in 32 bits, as in 6.19-rc',
        edit(ENTRIES, 'addWrapping(addr, bytes(done))', 'addWrapping(addr, bytes(done % 2 ** 32))'),
        example('E5', 4096, 'bus'),
      ),
      proof(
        'entries are split at UINT_MAX, as in 6.19',
        edit(ENTRIES, 'UINT_MAX - (UINT_MAX % pageSize)', 'UINT_MAX + 0 * pageSize'),
        example('E3', 4096, 'bus'),
      ),
      proof(
        'entries are split at a multiple of 4 KiB, whatever the page size',
        edit(ENTRIES, 'UINT_MAX - (UINT_MAX % pageSize)', 'UINT_MAX - (UINT_MAX % (pageSize > 0 ? 4096 : 1))'),
        example('E13', 65536, 'window'),
      ),
      proof(
        'the bytes that are linked are counted in 32 bits, as until v5 of the series',
        edit(
          PATH,
          'if (failed === undefined) this.#mapped += len;',
          'if (failed === undefined) this.#mapped = (this.#mapped + len) % 2 ** 32;',
        ),
        example('E4', 4096, 'window'),
      ),
      proof(
        'the count of what is linked begins at 9, as in v1 of the series',
        edit(PATH, '  #mapped = 0;', '  #mapped = 9;'),
        example('E12', 4096, 'window'),
      ),
      proof(
        'every range is linked at the start of the window',
        edit(
          PATH,
          'this.#dma.iovaLink(this.#state, paddr, this.#mapped, len, this.#dir)',
          'this.#dma.iovaLink(this.#state, paddr, 0, len, this.#dir)',
        ),
        example('E12', 4096, 'window'),
      ),
      proof(
        'bus addresses go on beyond 64 bits',
        edit(ENTRIES, 'addWrapping(addr, bytes(done))', '{ page: addr.page + done / 4096, byte: 0 }'),
        test(SG_TEST, 'bus addresses wrap at 2^64, between ranges and within one'),
      ),
      proof(
        'the hardware is not told of what is linked',
        edit(TABLE, '  return path.sync();', '  return undefined;'),
        test(
          SG_TEST,
          'over a real page table a window is synced once, as a whole, when all of it is linked',
          'over a real page table',
          'a window is synced once, as a whole, when all of it is linked',
        ),
      ),
      proof(
        'what is adjacent on the bus is one entry',
        edit(
          PATH,
          '    this.#segments.push({ addr: busAddrMap(this.#provider, paddr), length: len });',
          `    const addr = busAddrMap(this.#provider, paddr);
    const last = this.#segments.at(-1);
    if (last !== undefined && last.addr.page + last.length / 4096 === addr.page) {
      this.#segments[this.#segments.length - 1] = { addr: last.addr, length: last.length + len };
    } else this.#segments.push({ addr, length: len });`,
        ),
        example('E11 adjacent', 4096, 'bus'),
      ),
    ],
  },
  {
    id: 'V-41',
    says: 'A list has no pages that the CPU could touch, and says so: orig_nents is 0.',
    checks: [check('type', ENTRIES, 'readonly page: undefined;'), oracle],
    proofs: [
      proof(
        'a table counts its entries as if the CPU had them, too',
        edit(TABLE, 'readonly origNents = 0;', 'readonly origNents = 1;'),
        test(SG_TEST, 'a list has no pages for the CPU, and says so by orig_nents'),
      ),
      proof(
        'an entry names a page',
        edit(ENTRIES, 'page: undefined, length: 0 }', 'page: dmaAddress.page, length: 0 }'),
        test(SG_TEST, 'a list has no pages for the CPU, and says so by orig_nents'),
      ),
    ],
  },
  {
    id: 'V-42',
    says: 'Each contiguous stretch takes as many entries as it must; more than 32 bits can count is EINVAL.',
    checks: [examples, check('splat', ENTRIES, 'is filled with'), oracle],
    proofs: [
      proof(
        'a stretch that just fits gets a spare entry',
        edit(ENTRIES, 'Math.ceil(length / longest)', '(Math.floor(length / longest) + 1)'),
        example('E2', 4096, 'bus'),
      ),
      proof(
        'a count of more than 32 bits wraps, and the table is too small',
        edit(ENTRIES, 'if (nents > UINT_MAX) return 0;', 'nents %= 2 ** 32;'),
        test(
          SG_TEST,
          'the number of entries that does not fit is EINVAL by bus, and leaves nothing',
          'the number of entries',
          'that does not fit is EINVAL by %s, and leaves nothing',
        ),
      ),
      proof(
        'a table of no entries is allocated',
        edit(TABLE, "  if (nents === 0) return 'EINVAL';\n", ''),
        test(
          SG_TEST,
          'the number of entries that is 0, because there is no range, is EINVAL',
          'the number of entries',
          'that is 0, because there is no range, is EINVAL',
        ),
      ),
    ],
  },
  {
    id: 'V-43',
    says: 'A map and its unmap leave the DMA API as it was, and so does a map that fails, wherever it does.',
    checks: [
      oracle,
      check('property', FAULT_TEST, 'SITES'),
      check('splat', 'impl/iommu/dma-live.ts', 'no DMA mapping of'),
      check('splat', 'impl/iommu/iova.ts', 'are not taken'),
    ],
    proofs: [
      proof(
        'a window of which nothing is linked yet is forgotten',
        edit(PATH, WINDOW_GIVEN_BACK, `    if (this.#mapped === 0) return;\n${WINDOW_GIVEN_BACK}`),
        fault('window', 5, 'dma_iova_link'),
      ),
      proof(
        'the window is kept when there is no memory for the table',
        edit(
          TABLE,
          '  const failed = sgAllocTable(nents) ?? mapAll(path, ranges);',
          `  const full = sgAllocTable(nents);
  if (full !== undefined) return full;
  const failed = mapAll(path, ranges);`,
        ),
        fault('window', 4, 'sg_alloc_table'),
      ),
      proof(
        'the ranges that were linked stay so when a later one is refused',
        edit(PATH, '    if (this.#mapped > 0) this.#dma.iovaUnlink(this.#state, this.#mapped);\n', ''),
        fault('window', 7, 'dma_iova_link'),
      ),
      proof(
        'the unwind unmaps ranges that were never mapped',
        edit(
          PATH,
          '    if (isErrno(addr)) return addr;',
          `    if (isErrno(addr)) {
      this.#mapped.push({ addr: { page: 0, byte: 0 }, length: 0 });
      return addr;
    }`,
        ),
        fault('ranges', 5, 'dma_map_phys'),
      ),
      proof(
        'a range is mapped as a whole, and unmapped entry by entry',
        edit(
          PATH,
          '    for (const { addr, length } of this.#mapped) this.#dma.unmapPhys(addr, length);',
          `    for (const { addr, length } of this.#mapped)
      for (let done = 0; done < length; done += 0xfffff000)
        this.#dma.unmapPhys({ page: addr.page + done / 4096, byte: 0 }, Math.min(length - done, 0xfffff000));`,
        ),
        example('E3', 4096, 'ranges'),
      ),
      proof(
        'the unmap of a table leaves its addresses mapped',
        edit(TABLE, '  table.live = false;\n  table.path.destroy();', '  table.live = false;'),
        example('E12', 4096, 'window'),
      ),
    ],
  },
];
