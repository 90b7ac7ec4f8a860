/** A bug of another importer: io_uring, which reads from a buffer while its owner takes it back. */
import { unmapAttachment } from '../../impl/dmabuf/attachment.ts';
import {
  DmaToken,
  TokenMap,
  tokenComplete,
  tokenIssue,
  tokenRegister,
  tokenUnregister,
} from '../../impl/importers/dma-token.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { current, type Thread, type WaitPoint } from '../../impl/kernel/thread.ts';
import { Workqueue } from '../../impl/kernel/workqueue.ts';
import type { Machine } from '../../impl/machine.ts';
import { PciFunction } from '../../impl/pci/topology.ts';
import { end, type Step } from '../../properties/races/race.ts';
import { OFF, START } from '../../properties/races/steps.ts';

import { type Finding, inOwnRace, type Mutant, splat } from './mutant.ts';

import { patch } from './patch.ts';

/** An SSD that reads from `buf`, with the worker that unmaps for it. */
interface Ring {
  readonly token: DmaToken;
  readonly queue: Workqueue;
  /** No work comes any more. */
  over: boolean;
}
const rings = new WeakMap<Machine, Ring>();

const REGISTER: Step = { do: 'code', as: 'register', thread: register };
const READ: Step = { do: 'code', as: 'read', thread: read };
const WORKER: Step = { do: 'code', as: 'release', thread: releases };

function* register(machine: Machine): Thread<string> {
  const [parent = machine.hostBridge] = machine.rootPorts.values();
  const buf = machine.names.get('buf');
  const fd = buf !== undefined && 'fd' in buf ? buf.fd : -1;
  const queue = new Workqueue();
  const token = yield* tokenRegister(new PciFunction({ name: 'ssd', parent }), machine.fds, fd, queue);
  if (isErrno(token)) throw new Error(`register answers ${token}`);
  rings.set(machine, { token, queue, over: false });
  return 'ok';
}

/** One request, and the end of the registration. */
function* read(machine: Machine): Thread<string> {
  const ring = rings.get(machine) as Ring;
  const map = yield* tokenIssue(ring.token);
  if (!isErrno(map)) tokenComplete(ring.token, map);
  yield* tokenUnregister(ring.token);
  ring.over = true;
  return isErrno(map) ? map : 'ok';
}

/** What unmaps when a map is used no more. */
function* releases(machine: Machine): Thread<string> {
  const ring = rings.get(machine) as Ring;
  const work: WaitPoint = { name: 'work', ready: () => !ring.queue.empty || ring.over, enter: () => {} };
  for (;;) {
    yield work;
    const next = ring.queue.take();
    if (next === undefined) return 'ok';
    yield* next.thread();
  }
}

function* signalLate(token: DmaToken, { fence, table }: TokenMap, also: TokenMap): Thread {
  const { resv } = token.dmabuf;
  fence.signaler = current();
  yield resv;
  fence.signal();
  unmapAttachment(token.attachment, table);
  token.maps.delete(also);
  resv.release();
}

/** Nobody goes on: the worker wants what the revoke holds, and the revoke waits for what the worker would do. */
const circle = (first: string): Finding => ({
  kind: 'deadlock',
  what: `read waits for ${first}, which waits for itself: a deadlock`,
});
const [HELD, SIGNALED] = ['dev0.dmabuf0.resv, held by vfio_memory', 'dev0.dmabuf0.resv fences, which is up to release'];

export const URING_MUTANTS: readonly Mutant[] = [
  {
    id: 'M68',
    bug: 'io_uring signals the fence of a map only when it has dma_resv, with which a revoke waits for that fence',
    cured: 'in review of "io_uring: read/write with dmabufs"',
    patches: [
      patch(
        DmaToken.prototype,
        'newMap',
        (right) =>
          function (this: DmaToken, table) {
            const map = right.call(this, table);
            const { name } = map.fence;
            return new TokenMap(name, table, map.fence, (it) => signalLate(this, it, map));
          },
      ),
    ],
    ...inOwnRace('read by io_uring ∥ revoke', {
      from: 'registered, and not mapped yet',
      before: [...START, REGISTER],
      actors: [READ, OFF, WORKER],
      ends: [end('ok, ok, ok', 'TEMP'), end('ENODEV, ok, ok', 'TEMP')],
    }),
    // The first in runs in which nobody has to wait, too.
    found: [
      splat(
        'lockdep',
        'fence map 1 of ssd completed while release of map 1 of ssd, dev0.dmabuf0.resv held, against the lock order: ' +
          'dma_resv ⊃ dma_fence (documented)',
      ),
      circle(`${SIGNALED}, which waits for ${HELD}, which waits for ${SIGNALED}`),
      circle(`${HELD}, which waits for ${SIGNALED}, which waits for ${HELD}`),
    ],
  },
];
