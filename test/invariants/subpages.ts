/** Sub-page offsets: I-30 to I-35. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const example = (title: string) => at.subpage(`MAP_FILE maps example ${title}`, 'MAP_FILE maps example %s', title);
const B = 'B: from and to the middle of pages';
const mapped = check('model rule', 'model/spec.ts', 'reach');
const SIZE = '  if (!less(last, bytes(dmabuf.size)) ||';

export const subPages: readonly Row[] = [
  {
    id: 'I-30',
    core: true,
    says: 'Each byte of a mapping is that byte of the buffer, counted from the offset that MAP_FILE was given.',
    checks: [at.subPageOffsets, mapped],
    proofs: [
      proof(
        'the offset within the first page is dropped',
        edit(at.BATCH, 'let offset = index === area.index ? area.pageOffset : 0;', 'let offset = 0;'),
        at.subpage(
          'every byte of a mapping and of a copy of a part of it is that of the buffer, and no byte around it',
        ),
      ),
      proof(
        'the predicate asks only for the right memory',
        edit(
          at.INVARIANTS,
          'it.area.memory !== it.pte.memory || it.area.offset - it.area.iova !== it.pte.offset - it.pte.iova',
          'it.area.memory !== it.pte.memory',
        ),
        at.predicateTest(
          'sub-page offsets correct rejects a PTE half a page off',
          'sub-page offsets correct',
          'rejects %s',
          'a PTE half a page off',
        ),
      ),
    ],
  },
  {
    id: 'I-31',
    core: true,
    says: 'Each byte of a copy is the byte that its source shows.',
    checks: [at.subPageOffsets, mapped],
    proofs: [
      proof(
        'a copy counts from the start of the page in which its source begins',
        edit(
          'impl/iommufd/area.ts',
          'return add(sub(iova, this.iova), this.slice);',
          'return add(sub(iova, this.iova), u64(this.index, 0));',
        ),
        at.subpage('COPY maps example C: the second half of B begins a page'),
      ),
    ],
  },
  {
    id: 'I-32',
    core: true,
    says: 'The bytes just before and just behind an area are not translated for it.',
    checks: [at.subPageOffsets, at.sameReach],
    proofs: [
      proof(
        'the last page is mapped to its end',
        edit(
          at.BATCH,
          'const length = Math.min((this.#counts[run] as number) * PAGE_SIZE - offset, left);',
          'const length = (this.#counts[run] as number) * PAGE_SIZE - offset;',
        ),
        example(B),
      ),
      proof(
        'the predicate looks only at where a PTE begins',
        edit(
          at.INVARIANTS,
          'if (iova <= pte.iova && pte.iova + pte.length <= iova + length) return pte;',
          'if (iova <= pte.iova && pte.iova < iova + length) return pte;',
        ),
        at.predicateTest(
          'sub-page offsets correct rejects a PTE that ends behind its area',
          'sub-page offsets correct',
          'rejects %s',
          'a PTE that ends behind its area',
        ),
      ),
    ],
  },
  {
    id: 'I-33',
    core: true,
    says: 'An area begins within its first page, ends in its last, and has no page that its pages object lacks.',
    checks: [
      check('type', 'impl/iommufd/area.ts', 'constructor'),
      check('splat', at.MAP, 'an area reaches beyond its pages'),
    ],
    proofs: [
      proof(
        'pages are counted without the offset in the first',
        edit('impl/iommufd/pages.ts', 'addChecked(length, u64(0, offset));', 'addChecked(length, u64(0, 0));'),
        example(B),
      ),
      proof(
        'an area may have one page more than there are',
        edit(at.MAP, 'warnOn(area.lastIndex >= piece.pages.npages,', 'warnOn(area.lastIndex > piece.pages.npages,'),
        at.splatTest('an area does not reach beyond its pages'),
      ),
    ],
  },
  {
    id: 'I-34',
    core: true,
    says: 'MAP_FILE takes a buffer up to its last byte, and is EINVAL for one byte more.',
    checks: [check('refusal', at.IOAS, 'bufferPages'), at.sameAnswer],
    proofs: [
      proof(
        'one byte more is taken',
        edit(at.IOAS, SIZE, '  if (less(bytes(dmabuf.size), last) ||'),
        at.refused('MAP_FILE (I-82)', 'longer than the buffer, by a byte'),
      ),
      proof(
        'the last byte is refused',
        edit(at.IOAS, SIZE, '  if (!less(last, bytes(dmabuf.size - 1)) ||'),
        at.errors('MAP, COPY and MAP_FILE succeed for the last byte that they may have'),
      ),
    ],
  },
  {
    id: 'I-35',
    core: true,
    says: 'Whatever a domain maps and unmaps is a multiple of its smallest page, in IOVA, address and length.',
    checks: [check('refusal', at.DOMAIN, 'map'), at.shortUnmap],
    proofs: [
      proof(
        'a domain rounds an address down',
        edit(
          at.DOMAIN,
          '    if (((iova.byte | phys | length) &',
          '    phys -= phys % this.granule;\n    if (((iova.byte | length) &',
        ),
        at.domainTest(
          'map is EINVAL and maps nothing, when the physical address is no multiple of the smallest page',
          'map is EINVAL and maps nothing, when the %s is no multiple of the smallest page',
          'physical address',
        ),
      ),
      proof(
        'a domain rounds down what it is to unmap',
        edit(
          at.DOMAIN,
          'const whole = ((iova.byte | length) & (this.granule - 1)) === 0;',
          'const whole = length > 0;',
        ),
        at.domainTest(
          'unmap splats and clears nothing, when the IOVA is no multiple of the smallest page',
          'unmap splats and clears nothing, when the %s is no multiple of the smallest page',
        ),
      ),
    ],
  },
];
