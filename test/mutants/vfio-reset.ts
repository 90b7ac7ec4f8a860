/** Bugs of hot resets, in which several devices are taken back and given back together. */

import type { Errno } from '../../impl/kernel/errno.ts';
import * as member from '../../impl/vfio/hot-reset-member.ts';
import { restoreIfEnabled } from '../../impl/vfio/pci-dmabuf-revoke.ts';
import { inRace, type Mutant, outcome, splat } from './mutant.ts';
import { patch } from './patch.ts';

/** What the last trylock of a hot reset answered; `dev_set->lock` lets in one at a time. */
let refused: Errno | undefined;

export const RESET_MUTANTS: readonly Mutant[] = [
  {
    id: 'M08',
    bug: 'a hot reset asks members whether their memory is on that nobody has open',
    cured: 'in review of the exporter series, v7',
    patches: [
      patch(
        member,
        'unlockMember',
        () =>
          function* (device) {
            try {
              yield* restoreIfEnabled(device);
            } finally {
              device.memoryLock.releaseWrite();
            }
          },
      ),
    ],
    ...inRace('vfio-R16', 'a member of the same group opens'),
    found: [splat('use after free', 'dev1 is not open: no vconfig')],
  },
  {
    id: 'M09',
    bug: 'a hot reset that meets a lock that is taken leaves the members before it revoked',
    cured: 'in review of the exporter series, v5 to v6',
    patches: [
      patch(
        member,
        'lockMember',
        (right) =>
          function* (device, owner) {
            refused = yield* right(device, owner);
            return refused;
          },
      ),
      patch(
        member,
        'unlockMember',
        (right) =>
          function* (device) {
            if (refused === undefined) yield* right(device);
            else device.memoryLock.releaseWrite();
          },
      ),
    ],
    ...inRace('vfio-R14', 'a write that turns off the memory of the second member'),
    found: [outcome('EBUSY, ok; buffers TEMP TEMP')],
  },
];
