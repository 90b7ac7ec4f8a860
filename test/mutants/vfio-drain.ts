/** Bugs of what a revoke waits for: work in flight, and the drain token that counts DMA maps. */
import { Resv, USAGE } from '../../impl/dmabuf/resv.ts';
import { preempt } from '../../impl/kernel/thread.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { type VfioPciDmaBuf, vfioPciDmaBufOps } from '../../impl/vfio/pci-dmabuf.ts';
import * as list from '../../impl/vfio/pci-dmabuf-list.ts';
import * as revoke from '../../impl/vfio/pci-dmabuf-revoke.ts';
import * as token from '../../impl/vfio/pci-dmabuf-token.ts';
import * as registration from '../../impl/vfio/registration.ts';
import { end } from '../../properties/races/race.ts';
import { importer, importerMap, OFF, START } from '../../properties/races/steps.ts';
import { inOwnRace, inRace, lostWakeUp, type Mutant, rule, splat } from './mutant.ts';
import { patch } from './patch.ts';

const DERIVED = 'never written; derived';
const REVOKES_WAIT = 'merged for 7.1: wait for invalidation';
/** Steps of the others. */
const TIMEOUT = 10;

/** Before M01 was cured, a revoke left this to the un-revoke. */
const neverArmed = patch(token, 'rearmToken', () => () => {});

export const DRAIN_MUTANTS: readonly Mutant[] = [
  {
    id: 'M01',
    bug: 'a close drops the token of each buffer, and does not ask whether a revoke has drained it already',
    cured: 'merged, 2026-04: kref underflow after revoke',
    patches: [
      neverArmed,
      patch(
        revoke,
        'vfioPciDmaBufCleanup',
        () =>
          function* (device) {
            yield device.memoryLock.write;
            try {
              yield* revoke.vfioPciDmaBufMove(device, true);
              for (const priv of [...device.dmabufs]) {
                const { file } = priv.dmabuf;
                if (!file.getActive()) continue;
                yield* token.drainToken(priv);
                list.unlist(device, priv);
                priv.vdev = undefined;
                registration.putRegistration(device);
                file.put();
              }
            } finally {
              device.memoryLock.releaseWrite();
            }
          },
      ),
    ],
    ...inRace('vfio-R19', 'one domain; the device closes'),
    found: [splat('refcount', 'dev0.dmabuf0: put below zero')],
  },
  {
    id: 'M02',
    bug: 'a revoke does not wait for unmaps',
    cured: REVOKES_WAIT,
    patches: [patch(token, 'drainToken', () => function* () {}), neverArmed],
    ...inRace('vfio-R5', 'an importer that unmaps when it comes to it'),
    found: [rule('after a step of vfio_memory: dev0.dmabuf0 is revoked, and 1 DMA maps live')],
  },
  {
    id: 'M03',
    bug: 'a revoke does not wait for fences',
    cured: REVOKES_WAIT,
    patches: [
      patch(
        Resv.prototype,
        'wait',
        (right) =>
          function* (this: Resv, usage) {
            if (usage !== USAGE.BOOKKEEP) yield* right.call(this, usage);
          },
      ),
    ],
    ...inRace('vfio-R6', 'work of usage BOOKKEEP'),
    found: [rule('after a step of vfio_memory: dev0.dmabuf0 is revoked, and work goes on')],
  },
  {
    id: 'M04',
    bug: 'a revoke waits for fences of the kernel alone',
    cured: 'in review of revokes that wait, v3 to v4',
    patches: [
      patch(
        Resv.prototype,
        'wait',
        (right) =>
          function* (this: Resv) {
            yield* right.call(this, USAGE.KERNEL);
          },
      ),
    ],
    ...inRace('vfio-R6', 'work of usage READ'),
    found: [rule('after a step of vfio_memory: dev0.dmabuf0 is revoked, and work goes on')],
  },
  {
    id: 'M05',
    bug: 'a revoke gives up waiting for unmaps after a while',
    cured: 'in review of revokes that wait: no timeout',
    patches: [
      patch(
        token,
        'drainToken',
        () =>
          function* (drained) {
            token.putToken(drained);
            for (let jiffies = 0; jiffies < TIMEOUT && !drained.comp.ready(); jiffies++) yield preempt;
          },
      ),
    ],
    ...inRace('vfio-R5', 'an importer that unmaps when it comes to it'),
    found: [splat('refcount', 'dev0.dmabuf0: re-armed while 1 hold it')],
  },
  {
    id: 'M06',
    bug: 'an un-revoke makes the buffer usable, lets go of dma_resv, and then makes the token new',
    cured: 'in review of revokes that wait, v6 to v7',
    patches: [
      patch(
        revoke,
        'restoreIfEnabled',
        (right) =>
          function* (device: VfioPciDevice) {
            yield* right(device);
            for (const { kref } of device.dmabufs) {
              // kref_init(), to which it is all one who has the token by now.
              yield preempt;
              while (kref.count > 1) kref.put();
            }
          },
      ),
    ],
    ...inRace('vfio-R4', 'revoked by memory off; memory on'),
    found: [rule('after a step of vfio_memory: the token of dev0.dmabuf0 is 1 with 1 DMA maps')],
  },
  {
    id: 'M07',
    bug: 'nobody makes the token new',
    cured: DERIVED,
    patches: [neverArmed],
    ...inRace('vfio-R4', 'not revoked; a reset, which revokes and gives back'),
    found: [rule('after a step of vfio_reset: the token of dev0.dmabuf0 is 0 with 0 DMA maps')],
  },
  {
    id: 'M39',
    bug: 'a map that fails has taken the token, and does not give it back',
    cured: DERIVED,
    patches: [
      patch(vfioPciDmaBufOps, 'mapDmaBuf', (right) => (attachment, dir) => {
        const table = right(attachment, dir);
        if (table === 'ENOMEM') (attachment.dmabuf.priv as VfioPciDmaBuf).kref.get();
        return table;
      }),
    ],
    ...inOwnRace('map ∥ revoke', {
      from: 'an importer that unmaps as soon as it is told; there is no memory for its map',
      before: [...START, ...importer('i', 'prompt')],
      actors: [importerMap('i'), OFF],
      fails: { site: 'dma_buf_phys_vec_to_sgt', nth: 1 },
      ends: [end('ENOMEM, ok', 'TEMP', { maps: 0 }), end('ENODEV, ok', 'TEMP', { maps: 0 })],
    }),
    found: [
      lostWakeUp(
        ['vfio_memory waits for an unmap that nobody owes of dev0.dmabuf0'],
        'ENOMEM, blocked; buffers TEMP; maps 0',
      ),
      rule('after a step of importer_map: the token of dev0.dmabuf0 is 2 with 0 DMA maps'),
    ],
  },
];
