/**
 * From a command of a trace to the system call that it stands for: handles become descriptors and numbers, 64-bit
 * values
 * become ours, and the answer becomes a result again. One file for each kind of descriptor stands beside.
 */
import type { Command, Result } from '../trace/command.ts';
import { allocMemory, closeHandle, createMemfd, dmaRead, duplicate } from './calls-fd.ts';
import {
  allocHwpt,
  allocIoas,
  copy,
  destroy,
  iovaRanges,
  mapFile,
  mapMemory,
  openIommufd,
  unmap,
} from './calls-iommufd.ts';
import { exportBuffer, onDevice, openDevice } from './calls-vfio.ts';
import type { Thread } from './kernel/thread.ts';
import type { Machine } from './machine.ts';

/** The thread of one command. A handle that nothing carries is a closed descriptor. */
export function* operation(machine: Machine, command: Command): Thread<Result> {
  switch (command.do) {
    case 'ioas_map_file':
      return yield* mapFile(machine, command);
    case 'ioas_map':
      return yield* mapMemory(machine, command);
    case 'ioas_copy':
      return yield* copy(machine, command);
    case 'ioas_unmap':
      return yield* unmap(machine, command);
    case 'ioas_iova_ranges':
      return yield* iovaRanges(machine, command.ioas);
    case 'ioas_alloc':
      return allocIoas(machine, command);
    case 'hwpt_alloc':
      return yield* allocHwpt(machine, command);
    case 'destroy':
      return yield* destroy(machine, command.obj);
    case 'iommufd_open':
      return openIommufd(machine, command.as);
    case 'iommufd_close':
      return closeHandle(machine, command.ctx, 'iommufd');
    case 'fd_close':
      return closeHandle(machine, command.fd, 'file');
    case 'fd_dup':
      return duplicate(machine, command.fd, command.as);
    case 'mem_alloc':
      return allocMemory(machine, command);
    case 'memfd_create':
      return createMemfd(machine, command);
    case 'dma_read':
      return dmaRead(machine, command);
    case 'vfio_open':
      return yield* openDevice(machine, command.dev);
    case 'vfio_close':
      return closeHandle(machine, command.dev, 'device');
    case 'vfio_export':
      return yield* exportBuffer(machine, command);
    default:
      return yield* onDevice(machine, command);
  }
}
