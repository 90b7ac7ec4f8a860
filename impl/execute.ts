/**
 * From a command of a trace to the system call that it stands for: handles become descriptors and numbers, 64-bit
 * values become ours, and the answer becomes a result again. One file for each kind of descriptor stands beside.
 */
import type { Result } from '../trace/answer.ts';
import type {
  BarMmap,
  Command,
  Destroy,
  Exit,
  FdMmap,
  Fork,
  HwptAlloc,
  IoasAllowIovas,
  IoasCopy,
  IoasIovaRanges,
  IoasMap,
  IoasMapFile,
  IoasOptionHugePages,
  IoasUnmap,
  MemAlloc,
  MockDomain,
  MockDomainDestroy,
  MockRevoke,
  Munmap,
  Peek,
} from '../trace/command.ts';
import type { VfioDmabufMemattr, VfioDmabufRevoke, VfioExport, VfioOpen, VfioWake } from '../trace/command-vfio.ts';
import { closeHandle, createMemfd, dmaRead, duplicate } from './calls-fd.ts';
import {
  allocHwpt,
  allocIoas,
  allowIovas,
  copy,
  destroy,
  iovaRanges,
  mapFile,
  mapMemory,
  openIommufd,
  optionHugePages,
  unmap,
} from './calls-iommufd.ts';
import { allocMemory, exitProcess, forkProcess, mapBar, mapFd, peek, unmapMemory } from './calls-mm.ts';
import { mockDmabuf, mockDomain, mockRevoke } from './calls-selftest.ts';
import { type DeviceCommand, exportBuffer, onBuffer, onDevice, openDevice, wakeUp } from './calls-vfio.ts';
import { unreachable } from './kernel/splat.ts';
import type { Thread } from './kernel/thread.ts';
import type { Machine } from './machine.ts';

type Waits =
  | DeviceCommand
  | IoasMapFile
  | IoasMap
  | IoasCopy
  | IoasUnmap
  | IoasIovaRanges
  | IoasAllowIovas
  | IoasOptionHugePages
  | MockDomain
  | MockDomainDestroy
  | MockRevoke
  | HwptAlloc
  | MemAlloc
  | Destroy
  | VfioOpen
  | VfioExport
  | BarMmap
  | FdMmap
  | VfioWake
  | VfioDmabufRevoke
  | VfioDmabufMemattr
  | Peek
  | Munmap
  | Fork
  | Exit;

/** The thread of one command. A handle that nothing carries is a closed descriptor. */
export function operation(machine: Machine, command: Command): Thread<Result> {
  switch (command.do) {
    case 'ioas_map_file':
      return mapFile(machine, command);
    case 'ioas_map':
      return mapMemory(machine, command);
    case 'ioas_copy':
      return copy(machine, command);
    case 'ioas_unmap':
      return unmap(machine, command);
    case 'ioas_iova_ranges':
      return iovaRanges(machine, command.ioas);
    case 'hwpt_alloc':
      return allocHwpt(machine, command);
    case 'destroy':
      return destroy(machine, command.obj);
    case 'ioas_allow_iovas':
      return allowIovas(machine, command);
    case 'ioas_option_huge_pages':
      return optionHugePages(machine, command);
    case 'mock_domain':
      return mockDomain(machine, command);
    case 'mock_domain_destroy':
      return destroy(machine, command.dev);
    case 'mock_revoke':
      return mockRevoke(machine, command);
    case 'vfio_open':
      return openDevice(machine, command.dev);
    case 'vfio_export':
      return exportBuffer(machine, command);
    case 'vfio_memory':
    case 'vfio_reset':
    case 'vfio_attach':
    case 'vfio_detach':
    case 'vfio_bind':
    case 'vfio_flr':
    case 'vfio_hot_reset':
    case 'vfio_power':
    case 'vfio_low_power_entry':
    case 'vfio_low_power_exit':
      return onDevice(machine, command);
    case 'vfio_wake':
      return wakeUp(machine, command);
    case 'vfio_dmabuf_revoke':
    case 'vfio_dmabuf_memattr':
      return onBuffer(machine, command);
    case 'mem_alloc':
      return allocMemory(machine, command);
    case 'bar_mmap':
      return mapBar(machine, command);
    case 'fd_mmap':
      return mapFd(machine, command);
    case 'peek':
      return peek(machine, command);
    case 'munmap':
      return unmapMemory(machine, command);
    case 'fork':
      return forkProcess(machine, command);
    case 'exit':
      return exitProcess(machine, command);
    default:
      return atOnce(machine, command);
  }
}

/** Commands that never wait, or hardly. */
function* atOnce(machine: Machine, command: Exclude<Command, Waits>): Thread<Result> {
  switch (command.do) {
    case 'dma_read':
      return dmaRead(machine, command);
    case 'ioas_alloc':
      return yield* allocIoas(machine, command);
    case 'iommufd_open':
      return openIommufd(machine, command.as);
    case 'iommufd_close':
      return closeHandle(machine, command.ctx, 'iommufd');
    case 'vfio_close':
      return closeHandle(machine, command.dev, 'device');
    case 'fd_close':
      return closeHandle(machine, command.fd, 'file');
    case 'fd_dup':
      return duplicate(machine, command.fd, command.as);
    case 'memfd_create':
      return createMemfd(machine, command);
    case 'mock_dmabuf':
      return mockDmabuf(machine, command);
    default:
      return unreachable(command);
  }
}
