/** An importer that keeps tokens for its requests, as io_uring does: V-66. */
import { check, edit, proof, type Row, test } from './row.ts';

const TOKEN = 'impl/importers/dma-token.ts';
const RACE = 'V-66: a request and a revoke end in every interleaving, with a slot for the fence: %s';

const of = (title: string, ...literals: readonly string[]) => test('test/unit/dma-token.test.ts', title, ...literals);
const race = (slots: boolean) => of(RACE.replace('%s', String(slots)), RACE);

export const tokens: readonly Row[] = [
  {
    id: 'V-66',
    says:
      'A token that shares one map among its requests never deadlocks with a revoke, and when that returns all its ' +
      'fences have signaled and all its maps are gone.',
    checks: [
      check('property', 'test/unit/dma-token.test.ts', 'ends'),
      check('audit', 'impl/vfio/audit.ts', 'drain token'),
      check('splat', 'impl/kernel/thread.ts', 'deadlock'),
    ],
    proofs: [
      proof(
        'the fence signals only under the lock that its waiter holds',
        edit(
          TOKEN,
          '  map.fence.signal();\n  yield resv;\n  try {\n    unmapAttachment(token.attachment, map.table);',
          '  yield resv;\n  try {\n    map.fence.signal();\n    unmapAttachment(token.attachment, map.table);',
        ),
        race(true),
      ),
      proof(
        'without a slot for the fence the callback returns early, and the map stays current',
        edit(
          TOKEN,
          '  token.current = undefined;\n  const failed = resv.reserveFences(1);',
          '  const failed = resv.reserveFences(1);\n  if (failed !== undefined) return;\n  token.current = undefined;',
        ),
        race(false),
      ),
      proof(
        'without a slot for the fence nobody waits for it',
        edit(TOKEN, '  if (failed !== undefined) yield signaled(map);', '  if (failed !== undefined) return;'),
        of(
          'a revoke waits in the callback, with the lock held, when there is no slot for the fence',
          'a revoke',
          'waits in the callback, with the lock held, when there is no slot for the fence',
        ),
      ),
      proof(
        'the first request holds no reference of the map that it made',
        edit(TOKEN, '      if (!isErrno(made)) made.refs.get();\n', ''),
        race(true),
      ),
      proof(
        'a fence that came before the lock could be had is taken to be done',
        edit(TOKEN, '      if (!resv.testSignaled(USAGE.KERNEL)) continue;\n', ''),
        of(
          'a request waits for KERNEL fences without the lock, and asks again under it',
          'a request',
          'waits for KERNEL fences without the lock, and asks again under it',
        ),
      ),
      proof(
        'the token is freed while a map of it dies',
        edit(TOKEN, '  yield unmapped(token);\n', ''),
        of('V-66: a request and an unregister end in every interleaving, and leave nothing'),
      ),
      proof(
        'a request that runs out of memory leaves the buffer mapped',
        edit(TOKEN, '    unmapAttachment(attachment, table);\n    return', '    return'),
        of(
          'every allocation of issue fails once, and leaves everything as it was',
          'every allocation of %s fails once, and leaves everything as it was',
        ),
      ),
      proof(
        'a buffer that cannot be attached to keeps a reference',
        edit(TOKEN, '  dmaBufPut(dmabuf);\n  return failed;', '  return failed;'),
        of('registering answers for bad descriptors and revoked buffers, and leaves no reference'),
      ),
    ],
  },
];
