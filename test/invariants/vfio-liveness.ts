/** Liveness: V-70. */
import { check, edit, proof, type Row } from './row.ts';
import * as at from './vfio-places.ts';

export const liveness: readonly Row[] = [
  {
    id: 'V-70',
    says: 'If every fence signals and every importer unmaps, every revoke, reset, close and unbind ends.',
    checks: [check('splat', 'impl/kernel/thread.ts', 'deadlock'), at.rules],
    proofs: [
      proof(
        'a revoke waits for the maps with dma_resv held, which an unmap needs',
        edit(
          at.REVOKE,
          'if (waits()) yield* drainToken(priv);',
          `if (!waits()) return;
      yield priv.dmabuf.resv;
      try {
        yield* drainToken(priv);
      } finally {
        priv.dmabuf.resv.release();
      }`,
        ),
        at.sequences,
      ),
      proof(
        'a failed map counts, and is never unmapped',
        edit(at.EXPORT, 'if (!isErrno(table)) priv.kref.get();', 'priv.kref.get();'),
        at.mapTest('that fails takes no token, so a revoke has nothing to wait for'),
      ),
      proof(
        'an unmap does not say that it was the last',
        edit(at.TOKEN, 'if (kref.put()) comp.complete();', 'kref.put();'),
        at.waits('for the last of several unmaps, with resv free and memory_lock held'),
      ),
    ],
  },
];
