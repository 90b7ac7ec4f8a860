/** Errors and framing: I-80 to I-84. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const CONTEXT = 'impl/iommufd/context.ts';
const LAYOUT = 'impl/uapi/layout.ts';
const OPS = 'impl/uapi/iommufd-ops.ts';
const COMPAT = 'impl/iommufd/vfio-compat.ts';
const CONTAINER = 'impl/uapi/vfio-container.ts';
const sizes = (what: string) =>
  at.structures(`I-80, the size of a structure ${what}`, 'I-80, the size of a structure', what);
const onItsWay = (what: string) =>
  at.raceForNumber(
    `the number of a page table on its way is nobody: ${what}, in every interleaving`,
    'the number of a page table on its way is nobody: %s, in every interleaving',
    what,
  );
const NOBODY = 'ENOENT for any number that is nobody’s, or of somebody else';
const told = at.structures(
  'I-83, an answer that cannot be written is EFAULT; what maps and unmaps has done it, what makes an object has not',
  'I-83, an answer that cannot be written',
  'is EFAULT; what maps and unmaps has done it, what makes an object has not',
);
const unmapDma = (what: string) => at.container(`UNMAP_DMA ${what}`, 'UNMAP_DMA', what);

export const framing: readonly Row[] = [
  {
    id: 'I-80',
    says: 'A structure that is longer means the same if its tail is 0, else E2BIG; a shorter one is EINVAL.',
    checks: [check('refusal', LAYOUT, 'copyStruct'), check('property', at.STRUCTURES, 'a larger one with zeros')],
    proofs: [
      proof(
        'what is behind the structure is not looked at',
        edit(LAYOUT, '  if (userSize > size) {', '  if (userSize > 4096) {'),
        sizes('a larger one with anything else behind it is E2BIG, wherever that is, and does nothing'),
      ),
      proof(
        'only the byte behind the structure is looked at',
        edit(LAYOUT, 'memory.zeroed(after(from, size), userSize - size)', 'memory.zeroed(after(from, size), 1)'),
        sizes('a larger one with anything else behind it is E2BIG, wherever that is, and does nothing'),
      ),
      proof(
        'a longer structure is E2BIG, whatever its tail',
        edit(LAYOUT, "if (zero !== true) return zero === false ? 'E2BIG' : zero;", "return zero ? 'E2BIG' : zero;"),
        sizes('a larger one with zeros behind it is answered, and does, as the exact one'),
      ),
      proof(
        'a structure that is too short is filled up with zeros',
        edit('impl/uapi/iommufd.ts', "  if (userSize < op.layout.min) return 'EINVAL';\n", ''),
        sizes('one smaller than the least is EINVAL, and does nothing'),
      ),
    ],
  },
  {
    id: 'I-81',
    says: 'A number that is missing, dying, not there yet or of another kind is ENOENT; as parent of a HWPT, EINVAL.',
    checks: [
      check('refusal', CONTEXT, '#find'),
      check('refusal', at.IOAS, 'getIoas'),
      check('refusal', 'impl/iommufd/hw-pagetable.ts', 'hwptAlloc'),
    ],
    proofs: [
      proof(
        'an object of another kind is EINVAL',
        edit(
          at.IOAS,
          "  if (!isErrno(object)) ctx.put(object);\n  return 'ENOENT';",
          "  if (isErrno(object)) return object;\n  ctx.put(object);\n  return 'EINVAL';",
        ),
        at.objects('a number of another kind is no IOAS, and keeps its users'),
      ),
      proof(
        'an object of another kind keeps the user who looked it up',
        edit(at.IOAS, '  if (!isErrno(object)) ctx.put(object);\n', ''),
        at.objects('a number of another kind is no IOAS, and keeps its users'),
      ),
      proof(
        'a page table that is being made is found, and destroyed',
        edit(CONTEXT, 'return object?.finalized === true ? object : undefined;', 'return object;'),
        onItsWay('HWPT_ALLOC and DESTROY: ENOENT, or it goes'),
      ),
      proof(
        'a page table is found before it is filled',
        edit(
          'impl/iommufd/hw-pagetable.ts',
          'const full = hwpt.ctx.reserve(hwpt);',
          'const full = hwpt.ctx.add(hwpt);',
        ),
        onItsWay('HWPT_ALLOC that fails and attach: ENOENT'),
      ),
      proof(
        'a page table that an attach has made is never found',
        edit('impl/iommufd/device.ts', '      idev.ctx.finalize(hwpt);\n', ''),
        onItsWay('attach and DESTROY: ENOENT, or the device is using it'),
      ),
      proof(
        'a missing parent is ENOENT',
        edit(
          'impl/iommufd/hw-pagetable.ts',
          "  if (isErrno(parent)) {\n    ctx.put(idev);\n    return 'EINVAL';",
          "  if (isErrno(parent)) {\n    ctx.put(idev);\n    return 'ENOENT';",
        ),
        at.structures(
          'I-81, an object that is not there HWPT_ALLOC, pt_id: EINVAL, missing or of a wrong kind',
          'I-81, an object that is not there',
          'HWPT_ALLOC, pt_id: EINVAL, missing or of a wrong kind',
        ),
      ),
      proof(
        'a number that is nobody means the first object',
        edit(
          CONTEXT,
          'const object = this.#objects[id];\n    return',
          'const object = this.#objects[id] ?? this.#objects[1];\n    return',
        ),
        at.structures(
          `I-81, an object that is not there UNMAP, ioas_id: ${NOBODY}`,
          'I-81, an object that is not there',
          `%s, %s: ${NOBODY}`,
          "['UNMAP', 'ioas_id']",
        ),
      ),
    ],
  },
  {
    id: 'I-82',
    says: 'Of several mistakes in a MAP_FILE the first in the documented order is told.',
    checks: [check('model rule', 'model/areas.ts', 'map'), at.sameAnswer],
    proofs: [
      proof(
        'a length or IOVA of all ones is told before an unknown flag',
        edit(
          at.IOAS,
          `  if ((flags & ~MAP_FLAGS) !== 0) return 'EOPNOTSUPP';
  if (isMax(length) || isMax(iova) || isMax(sourceIova)) return 'EOVERFLOW';`,
          `  if (isMax(length) || isMax(iova) || isMax(sourceIova)) return 'EOVERFLOW';
  if ((flags & ~MAP_FLAGS) !== 0) return 'EOPNOTSUPP';`,
        ),
        at.refused('MAP_FILE (I-82)', 'unknown flag'),
      ),
      proof(
        'the file is looked up before the end of the range',
        edit(
          at.IOAS,
          `    if (last === undefined) return 'EOVERFLOW';
    const file = fds.lookup(fd);
    if (file === undefined) return 'EBADF';`,
          `    const file = fds.lookup(fd);
    if (file === undefined) return 'EBADF';
    if (last === undefined) return 'EOVERFLOW';`,
        ),
        at.refused('MAP_FILE (I-82)', 'offset and length wrap'),
      ),
      proof(
        'the exporter is asked before the size is looked at',
        edit(
          at.IOAS,
          `|| npages === undefined || args.length.page >= 0xffffffff) return 'EINVAL';
  return yield* mapDmabuf(dmabuf, start.page, npages, isWriteable(args), ram);`,
          `&& npages === undefined) return 'EINVAL';
  const pages = yield* mapDmabuf(dmabuf, start.page, npages ?? 0, isWriteable(args), ram);
  return isErrno(pages) || less(last, bytes(dmabuf.size)) ? pages : 'EINVAL';`,
        ),
        at.scenario('G-05: a revoked buffer is ENODEV before alignment, EINVAL for its size before that'),
      ),
    ],
  },
  {
    id: 'I-83',
    says: 'When the answer cannot be written back, MAP, MAP_FILE, COPY and UNMAP are EFAULT, and done.',
    checks: [check('property', at.STRUCTURES, 'I-83'), check('refusal', 'impl/uapi/ucmd.ts', 'respond')],
    proofs: [
      proof(
        'MAP succeeds though its IOVA cannot be told',
        edit(
          OPS,
          'return isErrno(iova) ? iova : cmd.respond(IOMMU_IOAS_MAP, { iova });',
          'return isErrno(iova) ? iova : void cmd.respond(IOMMU_IOAS_MAP, { iova });',
        ),
        told,
      ),
      proof(
        'MAP_FILE is undone when its IOVA cannot be told',
        edit(
          OPS,
          'return isErrno(iova) ? iova : cmd.respond(IOMMU_IOAS_MAP_FILE, { iova });',
          `if (isErrno(iova)) return iova;
  const untold = cmd.respond(IOMMU_IOAS_MAP_FILE, { iova });
  if (untold !== undefined) yield* ioasUnmap(cmd.ctx, args.ioas_id, iova, args.length);
  return untold;`,
        ),
        told,
      ),
      proof(
        'an IOAS whose number cannot be told stays',
        edit(OPS, '  if (untold !== undefined) yield* cmd.ctx.destroy(ioas.id);\n', ''),
        told,
      ),
    ],
  },
  {
    id: 'I-84',
    says: 'UNMAP of a VFIO container tells what it removed, also when it fails; not when it has not begun.',
    checks: [
      check('type', COMPAT, 'readonly unmapped?: Bytes'),
      check('property', 'properties/container/oracle.ts', 'unmap'),
    ],
    proofs: [
      proof(
        'an UNMAP that fails half-way tells nothing',
        edit(
          CONTAINER,
          'if (unmapped === undefined) return failed;',
          'if (unmapped === undefined || failed) return failed;',
        ),
        unmapDma('says how much it has removed before it came upon an area that sticks out'),
      ),
      proof(
        'a cut that fails tells that nothing was removed',
        edit(
          COMPAT,
          'if (uncut !== undefined) return { failed: uncut };',
          'if (uncut !== undefined) return { unmapped: ZERO, failed: uncut };',
        ),
        unmapDma('version 1: does not cut a dma-buf, says nothing of what it removed, and unmaps it whole'),
      ),
      proof(
        'an empty range is ENOENT',
        edit(
          COMPAT,
          '  return { unmapped, failed };',
          "  return { unmapped, failed: failed ?? (isZero(unmapped) ? 'ENOENT' : undefined) };",
        ),
        at.container(
          'UNMAP_DMA version 3n: says how much it has removed, which may be nothing',
          'UNMAP_DMA',
          'version %i: says how much it has removed, which may be nothing',
        ),
      ),
      proof(
        'the sum is that which was asked for',
        edit(CONTAINER, '{ ...args, size: unmapped }', '{ ...args }'),
        unmapDma('says how much it has removed before it came upon an area that sticks out'),
      ),
    ],
  },
];
