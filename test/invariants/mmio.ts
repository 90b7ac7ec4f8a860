/** One MMIO range: I-20 to I-26. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const SPLIT = 'impl/iommufd/area-split.ts';
const CUT = ['refused', 'for a dma-buf, whatever the address, and whether it is in a domain or revoked'] as const;
const KEEPS_MMIO = '7.3: keeps MMIO, in one call';
const readsBack = edit(
  at.READER,
  "return this.#pages.source.kind === 'dmabuf' && current().kernel.features.dmabufKeepsMmio;",
  'return false;',
);
const rejects = (what: string) =>
  at.predicateTest(`one MMIO range rejects ${what}`, 'one MMIO range', 'rejects %s', what);

export const mmioRanges: readonly Row[] = [
  {
    id: 'I-20',
    core: true,
    says: 'The pages of a buffer are one physical range; a buffer of several is EOPNOTSUPP.',
    checks: [
      check('type', 'impl/iommufd/pages.ts', 'phys: PhysVec = NOWHERE;'),
      check('refusal', at.EXPORTER, 'vfioPciDmaBufIommufdMap'),
    ],
    proofs: [
      proof(
        'of several ranges the first is taken',
        edit(
          at.EXPORTER,
          "  return priv.physVec.length === 1 ? (priv.physVec[0] as PhysVec) : 'EOPNOTSUPP';",
          '  return priv.physVec[0] as PhysVec;',
        ),
        at.scenario('G-18: a buffer in two ranges is EOPNOTSUPP, and nobody stays attached'),
      ),
    ],
  },
  {
    id: 'I-21',
    core: true,
    says: 'A buffer is mapped by one call for the whole area, or, without large pages, by one for each page.',
    checks: [at.oneMmioRange],
    proofs: [
      proof(
        'what is in a domain already is read back from there, on 7.3 as on 7.2',
        readsBack,
        at.mmio(
          `a copy of a buffer of which the end is not in a domain ${KEEPS_MMIO}`,
          KEEPS_MMIO,
          'a copy of a buffer of which the end is not in a domain',
        ),
      ),
      proof(
        'the option for small pages is forgotten',
        edit(
          at.BATCH,
          '  if (!smallPagesOnly) return domain.map',
          '  if (!smallPagesOnly || length > 0) return domain.map',
        ),
        at.scenario('G-08: without large pages a buffer is mapped page by page, and revoked at once'),
      ),
      proof(
        'the predicate looks at the calls of the older kernels, and not at those of the newer',
        edit(at.INVARIANTS, '    if (!seen.keepsMmio || ', '    if (seen.keepsMmio || '),
        rejects('an area mapped in two calls'),
      ),
    ],
  },
  {
    id: 'I-22',
    core: true,
    says: 'A buffer is unmapped by one call for the whole area.',
    checks: [at.oneMmioRange],
    proofs: [
      proof(
        'a buffer is unmapped page by page',
        edit(
          at.FILL,
          'function unmapArea(area: Area, domain: Domain): void {\n  domain.unmap(area.iova, toNumber(area.length));',
          `function unmapArea(area: Area, domain: Domain): void {
  for (let index = area.index; index <= area.lastIndex; index++) {
    const start = area.iovaOfIndex(index);
    domain.unmap(start, toNumber(sub(area.iovaLastOfIndex(index), start)) + 1);
  }`,
        ),
        at.mmio(
          'a mapping in stretches is unmapped as one, by revoke or UNMAP, on 7.3',
          'a mapping in stretches is unmapped as one, by revoke or UNMAP, on %s',
        ),
      ),
      proof(
        'the predicate minds only calls that begin elsewhere than the area',
        edit(
          at.INVARIANTS,
          'call.length !== whole || (call.iova - area.iova) % whole !== 0n;',
          '(call.iova - area.iova) % whole !== 0n;',
        ),
        rejects('an area unmapped together with its neighbour'),
      ),
    ],
  },
  {
    id: 'I-23',
    core: true,
    says: 'Device memory is mapped with MMIO and never CACHE, all other memory with CACHE and never MMIO.',
    checks: [at.oneMmioRange],
    proofs: [
      proof(
        'a second domain is filled from the first, which does not say that it is MMIO',
        readsBack,
        at.mmio(`a second domain ${KEEPS_MMIO}`, KEEPS_MMIO, 'a second domain'),
      ),
      proof(
        'MMIO is cached',
        edit(
          at.BATCH,
          "(this.#kind === 'mmio' ? IOMMU_MMIO : IOMMU_CACHE);",
          "(this.#kind === 'mmio' ? IOMMU_MMIO | IOMMU_CACHE : IOMMU_CACHE);",
        ),
        at.mmio(
          'the first domain of a buffer has MMIO and never CACHE, memory the reverse, on 7.3',
          'the first domain of a buffer has MMIO and never CACHE, memory the reverse, on %s',
        ),
      ),
      proof(
        'the predicate does not mind MMIO that is cached',
        edit(at.INVARIANTS, 'seen.keepsMmio && (!pte.mmio || pte.cache) &&', 'seen.keepsMmio && !pte.mmio &&'),
        rejects('device memory that is cached'),
      ),
    ],
  },
  {
    id: 'I-24',
    core: true,
    says: 'What is mapped of a buffer lies within its range.',
    checks: [at.oneMmioRange],
    proofs: [
      proof(
        'the first page of the mapping is counted twice',
        edit(at.READER, 'PAGE_SIZE + source.startPage + this.#end;', 'PAGE_SIZE + 2 * source.startPage + this.#end;'),
        at.subpage('MAP_FILE maps example A: whole pages', 'MAP_FILE maps example %s', 'A: whole pages'),
      ),
      proof(
        'the predicate looks only at where a mapping begins',
        edit(
          at.INVARIANTS,
          'b.offset <= a.offset && a.offset + a.length <= b.offset + b.length;',
          'b.offset <= a.offset && a.offset < b.offset + b.length;',
        ),
        rejects('a PTE that goes on behind the buffer'),
      ),
    ],
  },
  {
    id: 'I-25',
    core: true,
    says: 'The area of a buffer is never split.',
    checks: [check('refusal', SPLIT, 'splitArea'), check('property', 'properties/container/oracle.ts', '#cut')],
    proofs: [
      proof(
        'the area of a buffer is cut like any other',
        edit(SPLIT, "  if (pages.source.kind === 'dmabuf') return 'EOPNOTSUPP';\n", ''),
        at.splitTest('refused for a dma-buf, whatever the address, and whether it is in a domain or revoked', ...CUT),
      ),
      proof(
        'a cut off the page is refused for that, whatever the area',
        edit(
          SPLIT,
          `  if (pages.source.kind === 'dmabuf') return 'EOPNOTSUPP';
  const start = add(iova, ONE);`,
          `  const start = add(iova, ONE);
  if (!isAligned(start, iopt.alignment)) return 'EINVAL';
  if (pages.source.kind === 'dmabuf') return 'EOPNOTSUPP';`,
        ),
        at.splitTest('refused for a dma-buf, whatever the address, and whether it is in a domain or revoked', ...CUT),
      ),
      proof(
        'UNMAP goes on with a buffer that it could not cut',
        edit(
          SPLIT,
          "  if (pages.source.kind === 'dmabuf') return 'EOPNOTSUPP';",
          "  if (pages.source.kind === 'dmabuf') return undefined;",
        ),
        at.container(
          'UNMAP_DMA version 1: does not cut a dma-buf, says nothing of what it removed, and unmaps it whole',
          'UNMAP_DMA',
          'version 1: does not cut a dma-buf, says nothing of what it removed, and unmaps it whole',
        ),
      ),
    ],
  },
  {
    id: 'I-26',
    core: true,
    says: 'Pages of a buffer are never pinned, charged, given to an access, read or written by the CPU.',
    checks: [
      at.auditImport,
      check('refusal', 'impl/iommufd/access-pages.ts', 'areaAddAccess'),
      check('splat', 'impl/iommufd/access-pages.ts', 'device memory is pinned like memory of a process'),
    ],
    proofs: [
      proof(
        'the last domain lets go of a buffer as of memory',
        edit(
          at.FILL,
          "if (pages.source.kind === 'dmabuf') unmapArea(area, storage);",
          'if (pages.npages === 0) return;',
        ),
        at.scenario('G-24: UNMAP that ends within an area keeps what it removed before, and answers ENOENT'),
      ),
      proof(
        'the audit does not mind a buffer that is pinned',
        edit(at.AUDIT, 'if (pages.npinned !== 0) it.breaches.push(', 'if (pages.npinned < 0) it.breaches.push('),
        at.auditTest('device memory that is pinned is said', '%s is said', 'device memory that is pinned'),
      ),
      proof(
        'an access is given pages of a buffer',
        edit(
          'impl/iommufd/access-pages.ts',
          "  if (pages.source.kind === 'dmabuf' && current().kernel.features.accessRejectsDmabuf) return 'EINVAL';\n",
          '',
        ),
        at.refusedPin('a dma-buf: EINVAL'),
      ),
      proof(
        'a buffer is charged to the user who maps it',
        edit(
          at.DMABUF,
          '  if (refused === undefined) return pages;\n',
          `  if (refused === undefined) {
    const user = current().process?.user;
    if (user !== undefined) user.lockedVm += npages;
    return pages;
  }
`,
        ),
        at.accounting(at.NO_LIMIT),
      ),
    ],
  },
];
