/** Errors, framing, accesses and locks: I-80 to I-89. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const lockdep = check('lock assertion', 'impl/kernel/lockdep.ts', 'DOCUMENTED_ORDER');
const LOCKS = '%s takes the locks of its row, in that order';
const locksOf = (operation: string) =>
  at.lockTable(`${operation} takes the locks of its row, in that order`, LOCKS, operation);

const later = (id: string, says: string, pending: string): Row => ({ id, says, checks: [], proofs: [], pending });
const FRAMING = 'the framing of ioctls';
const ACCESSES = 'accesses by kernel drivers';

export const errors: readonly Row[] = [
  later(
    'I-80',
    'A structure that is longer means the same if its tail is 0, else E2BIG; a shorter one is EINVAL.',
    FRAMING,
  ),
  {
    id: 'I-81',
    says: 'A number that is missing, dying, not there yet or of another kind is ENOENT; as parent of a HWPT, EINVAL.',
    checks: [check('refusal', at.IOAS, 'getIoas'), check('refusal', 'impl/iommufd/hw-pagetable.ts', 'hwptAlloc')],
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
    ],
    pending: FRAMING,
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
          '  if (!less(last, bytes(dmabuf.size)) || npages === undefined ||',
          `  const pages = yield* mapDmabuf(dmabuf, start.page, npages ?? 0, isWriteable(args), ram);
  if (isErrno(pages)) return pages;
  if (!less(last, bytes(dmabuf.size)) || npages === undefined ||`,
        ),
        at.scenario('G-05: a revoked buffer is ENODEV before alignment, EINVAL for its size before that'),
      ),
    ],
  },
  later('I-83', 'When the answer cannot be written back, MAP, MAP_FILE, COPY and UNMAP are EFAULT, and done.', FRAMING),
  later('I-84', 'UNMAP of a VFIO container tells what it removed, also when it fails.', 'VFIO containers'),
  later('I-85', 'Pinning, reading and writing of a buffer is EPERM or EINVAL, and leaves no pin.', ACCESSES),
  later('I-86', 'After UNMAP no access holds a pin there, and while it waits for them none gets another.', ACCESSES),
  later(
    'I-87',
    'Large pages are given up only without an area in a domain, and without one off the page.',
    'the option',
  ),
  {
    id: 'I-88',
    says: 'Locks are taken in the documented order; nothing but mmap_lock is taken inside the mutex of pages.',
    checks: [lockdep],
    proofs: [
      proof(
        'MAP_FILE takes iova_rwsem while it holds the mutex of the pages',
        edit(
          at.FILL,
          '    store(area, pages, storage);\n    return undefined;',
          `    store(area, pages, storage);
    yield area.iopt.iovaRwsem.write;
    area.iopt.iovaRwsem.releaseWrite();
    return undefined;`,
        ),
        locksOf('MAP_FILE(DMABUF)'),
      ),
      proof(
        'lockdep knows what may never be nested, but not the order',
        edit(
          'impl/kernel/lockdep.ts',
          'if ((below >> outer) & 1 || ((forbiddenBelow[outer] as number) >> taken) & 1) {',
          'if (below >= 0 && ((forbiddenBelow[outer] as number) >> taken) & 1) {',
        ),
        at.lockdepTest(
          'is forbidden, in any run and whoever waits pages.mutex ⊃ iova_rwsem',
          'is forbidden, in any run and whoever waits',
          '%s ⊃ %s',
          "['pages.mutex', 'iova_rwsem']",
        ),
      ),
    ],
  },
  {
    id: 'I-89',
    says: 'Nothing calls an exporter while it holds iova_rwsem or the mutex of pages.',
    checks: [check('lock assertion', 'impl/kernel/lockdep.ts', 'FORBIDDEN')],
    proofs: [
      proof(
        'UNMAP drops the last reference of the pages while it holds iova_rwsem',
        edit(
          'impl/iommufd/unmap.ts',
          '  iopt.iovaRwsem.releaseWrite();\n  yield* putPages(pages);',
          '  yield* putPages(pages);\n  iopt.iovaRwsem.releaseWrite();',
        ),
        locksOf('UNMAP, of one area and the gap behind it'),
      ),
      proof(
        'lockdep knows the order, but not what may never be nested',
        edit(
          'impl/kernel/lockdep.ts',
          'if ((below >> outer) & 1 || ((forbiddenBelow[outer] as number) >> taken) & 1) {',
          'if ((below >> outer) & 1) {',
        ),
        at.lockdepTest(
          'is forbidden, in any run and whoever waits iova_rwsem ⊃ dma_resv',
          'is forbidden, in any run and whoever waits',
          '%s ⊃ %s',
          "['iova_rwsem', 'dma_resv']",
        ),
      ),
    ],
  },
];
