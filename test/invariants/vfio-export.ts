/** Export: V-01 to V-07. */
import { check, edit, proof, type Row } from './row.ts';
import * as at from './vfio-places.ts';

const everyCheck = check('property', 'test/unit/uapi-export.test.ts', 'CHECKS');

export const exports: readonly Row[] = [
  {
    id: 'V-01',
    says: 'An export of no ranges, or with flags, is EINVAL and changes nothing.',
    checks: [check('refusal', at.EXPORT, 'exportRefused'), everyCheck],
    proofs: [
      proof(
        'nobody looks at the flags',
        edit(
          at.EXPORT,
          "if (rangeCount === 0 || !isZero(flags)) return 'EINVAL';",
          "if (rangeCount === 0) return 'EINVAL';",
        ),
        at.exportCheck('2.2.7', 'there are flags', 'EINVAL'),
      ),
      proof(
        'an export of nothing is a buffer of nothing',
        edit(
          at.EXPORT,
          "if (rangeCount === 0 || !isZero(flags)) return 'EINVAL';",
          "if (!isZero(flags)) return 'EINVAL';",
        ),
        at.exportCheck('2.2.7', 'there are no ranges', 'EINVAL'),
      ),
    ],
  },
  {
    id: 'V-02',
    says: 'An export of what is no BAR, or of one that is absent or not claimed, is ENODEV.',
    checks: [check('refusal', at.EXPORT, 'exportRefused'), everyCheck],
    proofs: [
      proof(
        "a BAR of another driver's is lent out",
        edit(
          at.EXPORT,
          'const claimed = device.bars.has(region) && device.barErr[region] === undefined;',
          'const claimed = device.bars.has(region);',
        ),
        at.exportCheck('2.2.8', "the BAR is another driver's", 'ENODEV'),
      ),
      proof(
        'what is no BAR is refused as a BAR that cannot be lent out',
        edit(
          at.EXPORT,
          "if (region >= VFIO_PCI_ROM_REGION_INDEX) return 'ENODEV';",
          "if (region >= VFIO_PCI_ROM_REGION_INDEX) return 'EINVAL';",
        ),
        at.exportCheck('2.2.8', 'the region is the ROM', 'ENODEV'),
      ),
    ],
  },
  {
    id: 'V-03',
    says: 'What is exported is whole pages inside of the BAR, in ranges that are not empty, below 2^63 in all.',
    checks: [
      check('refusal', at.RANGES, 'validateRanges'),
      check('refusal', at.RANGES, 'fillPhysVec'),
      check('property', 'test/unit/vfio-export.test.ts', 'sizes, for a BAR of 16 MiB'),
    ],
    proofs: [
      proof(
        'only the offset must be that of a page',
        edit(
          at.RANGES,
          'if (isZero(length) || !isAligned(offset, PAGE_SIZE) || !isAligned(length, PAGE_SIZE))',
          'if (isZero(length) || !isAligned(offset, PAGE_SIZE))',
        ),
        at.exportCheck('2.2.12', 'a range ends inside of a page', 'EINVAL'),
      ),
      proof(
        'lengths may wrap',
        edit(at.RANGES, "    if (sum === undefined) return 'EINVAL';", '    if (sum === undefined) sum = ZERO;'),
        at.exportSize('lengths that wrap', 'EINVAL'),
      ),
      proof(
        'nobody minds bit 63',
        edit(at.RANGES, "return sum.page >= USE_SWIOTLB_PAGES ? 'EINVAL' : undefined;", 'return undefined;'),
        at.exportPair(['2.2.13', 'the size has bit 63', 'EINVAL'], ['2.2.14', 'the buffer finds no memory']),
      ),
      proof(
        'the last page of the BAR is refused',
        edit(at.RANGES, "if (less(end, rangeEnd)) return 'EINVAL';", "if (!less(rangeEnd, end)) return 'EINVAL';"),
        at.exportSize('its last page', '4096'),
      ),
      proof(
        'a range that wraps is taken for one that ends behind the BAR',
        edit(
          at.RANGES,
          "if (paddr === undefined || rangeEnd === undefined) return 'EOVERFLOW';",
          "if (paddr === undefined || rangeEnd === undefined) return 'EINVAL';",
        ),
        at.exportCheck('2.2.16', 'a range wraps', 'EOVERFLOW'),
      ),
    ],
  },
  {
    id: 'V-04',
    says: 'A buffer is as large as its ranges are together, in the order of the export; they may overlap.',
    checks: [check('property', 'test/unit/vfio-export.test.ts', 'sizes, for a BAR of 16 MiB')],
    proofs: [
      proof(
        'the ranges are sorted',
        edit(at.RANGES, '  return physVec;', '  return physVec.sort((a, b) => a.paddr - b.paddr);'),
        at.exportSize('two pages, the second first', '8192'),
      ),
      proof(
        'the buffer is as large as its largest range',
        edit(
          at.EXPORT,
          'for (const { len } of physVec) size += len;',
          'for (const { len } of physVec) size = Math.max(size, len);',
        ),
        at.exportSize('a page twice', '8192'),
      ),
    ],
  },
  {
    id: 'V-05',
    says: 'To ask for the feature takes no payload, and makes nothing.',
    checks: [check('refusal', at.FEATURE, 'check'), everyCheck],
    proofs: [
      proof(
        'the payload is measured before anybody is told',
        edit(
          at.FEATURE,
          '  if ((flags & FEATURE_PROBE) !== 0) return 0;\n',
          "  if (payload < least) return 'EINVAL';\n  if ((flags & FEATURE_PROBE) !== 0) return 0;\n",
        ),
        {
          file: 'test/unit/uapi-vfio-device.test.ts',
          title: 'FEATURE asked for, in any direction',
          of: ['FEATURE', 'asked for, in any direction'],
        },
      ),
    ],
  },
  {
    id: 'V-06',
    says: 'An export that fails leaves list, registrations and descriptors as they were.',
    checks: [everyCheck, at.auditDevices],
    proofs: [
      proof(
        'a buffer for which there is no descriptor is forgotten',
        edit(
          at.EXPORT,
          '  if (isErrno(fd)) dmaBufPut(dmabuf);',
          '  if (isErrno(fd) && dmabuf.size < 0) dmaBufPut(dmabuf);',
        ),
        at.exportCheck('2.2.20', 'no descriptor is free', 'EMFILE'),
      ),
      proof(
        'the registration is kept when there is no dma-buf',
        edit(at.EXPORT, '  if (isErrno(dmabuf)) {\n    putRegistration(device);\n', '  if (isErrno(dmabuf)) {\n'),
        at.exportCheck('2.2.19', 'the dma-buf finds no memory', 'ENOMEM'),
      ),
    ],
  },
  {
    id: 'V-07',
    says: 'A new buffer is last on the list, holds one registration and its token, and is revoked while memory is off.',
    checks: [at.rules, at.auditDevices],
    proofs: [
      proof(
        'every buffer is born usable',
        edit(at.LIST, "priv.status = memoryEnabled(device) ? 'OK' : 'TEMP_REVOKED';", "priv.status = 'OK';"),
        at.newBuffer('is born revoked while memory is off or the function is in D3hot, which is no revocation'),
      ),
      proof(
        'the memory is looked at before memory_lock is held',
        edit(
          at.LIST,
          `  yield device.memoryLock.write;
  try {
    yield priv.dmabuf.resv;
    try {
      priv.status = memoryEnabled(device) ? 'OK' : 'TEMP_REVOKED';`,
          `  const on = device.power < 3 && ((device.vconfig?.command ?? 0) & 2) !== 0;
  yield device.memoryLock.write;
  try {
    yield priv.dmabuf.resv;
    try {
      priv.status = on ? 'OK' : 'TEMP_REVOKED';`,
        ),
        at.newBuffer('gets its born state under memory_lock and resv, with no usable moment in between'),
      ),
      proof(
        'the newest comes first',
        edit(at.LIST, '      device.dmabufs.push(priv);', '      device.dmabufs.unshift(priv);'),
        at.newBuffer('comes last on the list'),
      ),
    ],
  },
];
