/** Locks: I-88 and I-89. */
import * as at from './places.ts';
import { check, edit, proof, type Row } from './row.ts';

const lockdep = check('lock assertion', 'impl/kernel/lockdep.ts', 'DOCUMENTED_ORDER');
const LOCKS = '%s takes the locks of its row, in that order';
const locksOf = (operation: string) =>
  at.lockTable(`${operation} takes the locks of its row, in that order`, LOCKS, operation);

export const locks: readonly Row[] = [
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
          '      iopt.iovaRwsem.releaseWrite();\n      yield* putPages(pages);',
          '      yield* putPages(pages);\n      iopt.iovaRwsem.releaseWrite();',
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
