/** Bugs of what is not refused: importers that nobody can tell of a revoke, and the CPU's pins of device memory. */
import { type Attachment, detach, dynamicAttach, mapAttachment } from '../../impl/dmabuf/attachment.ts';
import { dmaBufGet, dmaBufPut } from '../../impl/dmabuf/dma-buf.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import type { Machine } from '../../impl/machine.ts';
import { PciFunction } from '../../impl/pci/topology.ts';
import { end, type Step } from '../../properties/races/race.ts';
import { A, MAPPED, OFF, START } from '../../properties/races/steps.ts';
import { inOwnRace, type Mutant, splat, unanswered } from './mutant.ts';
import { without } from './patch.ts';

/** A driver whose DMA goes on until it wants no more, and that has no callback. */
function* attachDeaf(machine: Machine): Thread<string> {
  const [parent = machine.hostBridge] = machine.rootPorts.values();
  const named = machine.names.get('buf');
  const dmabuf = dmaBufGet(machine.fds, named !== undefined && 'fd' in named ? named.fd : -1);
  if (isErrno(dmabuf)) return dmabuf;
  const nic = new PciFunction({ name: 'nic', parent });
  const attachment = yield* dynamicAttach(dmabuf, nic, { allowPeer2peer: true }, undefined);
  const refused = isErrno(attachment) ? attachment : yield* mapOrDetach(attachment);
  if (refused === undefined) return 'ok';
  dmaBufPut(dmabuf);
  return refused;
}

function* mapOrDetach(attachment: Attachment): Thread<Errno | undefined> {
  const { resv } = attachment.dmabuf;
  yield resv;
  const table = yield* mapAttachment(attachment);
  resv.release();
  if (!isErrno(table)) return undefined;
  yield* detach(attachment);
  return table;
}

const ATTACH: Step = { do: 'code', as: 'attach', thread: attachDeaf };

export const REFUSAL_MUTANTS: readonly Mutant[] = [
  {
    id: 'H-04',
    bug: 'an access may pin an area of device memory, as if that had pages',
    cured: 'merged, 2026-07: reject DMABUF pages in access pin',
    patches: [without('7.3', 'accessRejectsDmabuf')],
    ...inOwnRace('pin by an access ∥ revoke', {
      from: 'mapped, and an access',
      before: [...MAPPED, { do: 'access', ioas: 'ioas', as: 'access' }],
      actors: [{ do: 'access_pin', access: 'access', iova: A, length: 0x2000n }, OFF],
      ends: [end('EINVAL, ok', 'TEMP')],
    }),
    found: [
      splat('WARN', 'device memory is pinned like memory of a process'),
      splat('WARN', 'a reader starts on revoked pages'),
    ],
  },
  {
    id: 'M36',
    bug: 'an importer may attach that has no callback for a revoke',
    cured: 'merged: pinned importers refused',
    patches: [without('7.3', 'attachNeedsRevocable')],
    ...inOwnRace('attach and map ∥ revoke', {
      from: 'a driver without a callback',
      before: START,
      actors: [ATTACH, OFF],
      ends: [end('EOPNOTSUPP, ok', 'TEMP'), end('ENODEV, ok', 'TEMP')],
    }),
    found: [
      unanswered(['vfio_memory waits for the unmap of importer nic of dev0.dmabuf0'], 'ok, blocked; buffers TEMP'),
    ],
  },
];
