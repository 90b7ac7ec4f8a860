/** Bugs of the buffers of vfio-pci: how they are born, who may still use them, what becomes of the CPU's entries. */
import * as dmaBuf from '../../impl/dmabuf/dma-buf.ts';
import * as addressSpace from '../../impl/kernel/address-space.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { File } from '../../impl/kernel/file.ts';
import { current } from '../../impl/kernel/thread.ts';
import { PCI_COMMAND_MEMORY, PCI_D3HOT } from '../../impl/vfio/pci-device.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import * as list from '../../impl/vfio/pci-dmabuf-list.ts';
import * as status from '../../impl/vfio/pci-dmabuf-status.ts';
import { putRegistration } from '../../impl/vfio/registration.ts';
import * as takeBack from '../../impl/vfio/take-back.ts';
import { end } from '../../properties/races/race.ts';
import { BYTE, mapBar, OFF, START, touch } from '../../properties/races/steps.ts';
import { atRest, inOwnRace, inRace, type Mutant, outcome, rule, shown, splat, takenBack } from './mutant.ts';
import { patch, without } from './patch.ts';

const { TABLE } = status as { TABLE: Record<status.State, Record<status.Event, status.Transition | undefined>> };
const DERIVED = 'never written; derived';
const IN_REVIEW = 'in review of the exporter series';

const holdsResv = ({ dmabuf }: VfioPciDmaBuf): boolean => dmabuf.resv.heldBy(current());

export const BUFFER_MUTANTS: readonly Mutant[] = [
  {
    id: 'M11',
    bug: 'an export asks whether memory is on before it has memory_lock',
    cured: IN_REVIEW,
    patches: [
      patch(
        list,
        'enlist',
        () =>
          function* (device, priv) {
            const on = device.power < PCI_D3HOT && ((device.vconfig?.command ?? 0) & PCI_COMMAND_MEMORY) !== 0;
            yield device.memoryLock.write;
            yield priv.dmabuf.resv;
            priv.status = on ? 'OK' : 'TEMP_REVOKED';
            device.dmabufs.push(priv);
            priv.dmabuf.resv.release();
            device.memoryLock.releaseWrite();
          },
      ),
    ],
    ...inRace('vfio-R1', 'another buffer'),
    found: [rule('after a step of vfio_export: dev0.dmabuf1 is usable, and the memory of dev0 is off')],
  },
  {
    id: 'M12',
    bug: 'a write that turns memory off takes no buffer back',
    cured: DERIVED,
    patches: [patch(takeBack, 'takeBack', () => function* () {})],
    ...inRace('vfio-R18', 'one domain'),
    found: [
      rule('after a step of vfio_memory: dev0.dmabuf0 is usable, and the memory of dev0 is off'),
      takenBack('vfio_memory', 'ioas'),
    ],
  },
  {
    id: 'M26',
    bug: 'an export that gets no descriptor puts the registration, which the release of the buffer does, too',
    cured: 'merged: double free in the feature',
    patches: [
      patch(dmaBuf, 'dmaBufFd', (right) => (dmabuf, fds) => {
        const fd = right(dmabuf, fds);
        const { vdev } = dmabuf.priv as VfioPciDmaBuf;
        if (isErrno(fd) && vdev !== undefined) putRegistration(vdev);
        return fd;
      }),
    ],
    ...inRace('vfio-R17', 'another buffer'),
    found: [atRest('dev0 counts 2 registrations, and 3 are found')],
  },
  {
    id: 'M29',
    bug: 'who goes through the list takes references of buffers that are dying',
    cured: DERIVED,
    patches: [
      patch(
        File.prototype,
        'getActive',
        () =>
          function (this: File) {
            this.get();
            return true;
          },
      ),
    ],
    ...inRace('vfio-R7', 'one descriptor'),
    found: [splat('refcount', 'file dev0.dmabuf0: get of a dead object')],
  },
  {
    id: 'M38',
    bug: 'a map does not ask whether the buffer is revoked, because its attach did',
    cured: DERIVED,
    patches: [
      patch(
        status,
        'refusalOf',
        (right) => (priv, request) => (holdsResv(priv as VfioPciDmaBuf) ? undefined : right(priv, request)),
      ),
    ],
    ...inRace('iommufd-R1', 'one domain'),
    found: [takenBack('ioas_map_file', 'ioas')],
  },
  {
    id: 'M47',
    bug: 'a revoke leaves the entries of the CPU',
    cured: DERIVED,
    patches: [patch(addressSpace, 'unmapMappingRange', () => function* () {})],
    ...inRace('vfio-R10', 'mapped before'),
    found: [shown('vfio_dmabuf_revoke', 'dev0.dmabuf0')],
  },
  {
    id: 'M48',
    bug: 'a revoke looks for mappings in the pages from 0 to the size of the buffer, where those of BARs are not',
    cured: 'not yet, as posted in v2 to v4; derived',
    patches: [without('v4', 'zapsEveryMapping')],
    ...inOwnRace('touch of a BAR ∥ memory off', {
      from: 'mapped, v4, where the mapping is of a buffer of its own',
      kernel: 'v4',
      before: [...START, mapBar('v')],
      actors: [touch('v'), OFF],
      ends: [end(`${BYTE}, ok`, 'TEMP TEMP'), end('SIGBUS, ok', 'TEMP TEMP')],
    }),
    found: [shown('vfio_memory', 'dev0.dmabuf1')],
  },
  {
    id: 'M51',
    bug: 'a fault asks whether the buffer is revoked before it waits for memory_lock, and not again',
    cured: 'in review of the mmap series',
    patches: [patch(status, 'refusesTouch', (right) => (priv) => holdsResv(priv as VfioPciDmaBuf) && right(priv))],
    ...inRace('vfio-R10', 'mapped before'),
    found: [shown('peek', 'dev0.dmabuf0')],
  },
  {
    id: 'M56',
    bug: 'a reset gives back what is revoked for good',
    cured: DERIVED,
    patches: [patch(TABLE.PERM_REVOKED, 'move(false)', () => TABLE.TEMP_REVOKED['move(false)'])],
    ...inRace('vfio-R12', 'usable and mapped'),
    found: [outcome('ok, ok; buffers OK; unmaps unmap ioas 0x1000000 0x4000; callbacks i')],
  },
  {
    id: 'M57',
    bug: 'a revoke for good of what is revoked drains it again',
    cured: DERIVED,
    patches: [patch(TABLE.TEMP_REVOKED, 'DMA_BUF_REVOKE', () => TABLE.OK.DMA_BUF_REVOKE)],
    ...inRace('vfio-R12', 'memory is off'),
    found: [outcome('ok, ok; buffers PERM; unmaps none; callbacks i')],
  },
  {
    id: 'M59',
    bug: 'a second revoke for good succeeds',
    cured: DERIVED,
    patches: [patch(TABLE.PERM_REVOKED, 'DMA_BUF_REVOKE', () => TABLE.PERM_REVOKED['move(true)'])],
    ...inRace('vfio-R11', 'usable, mapped and touched'),
    found: [outcome('ok, ok; buffers PERM')],
  },
];
