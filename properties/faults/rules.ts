/**
 * What a call answers, and what it leaves, when one fault point fails: a row for each site. The general rule is that
 * all is as it was before (iommufd 5); a row that says something else says what the world is like instead, as commands
 * of which the model knows what they do.
 *
 * Source: iommufd 2.0, 5; vfio-dmabuf 2.2, 2.8, 5.4
 */
import type { Device, State } from '../../model/spec.ts';
import type { Command } from '../../trace/command.ts';
import type { Fault } from '../../trace/trace.ts';
import type { Ending } from '../expected/entry.ts';

/** What is documented of one fault. */
export interface Rule {
  /** `ok`: the call gets by without, and answers what it would have. */
  readonly answer: Ending;
  /** Absent: as before. Else as after these commands, which are given for the call and the model's state before it. */
  readonly leaves?: readonly Command[];
  /** Fault points that the call may still pass when it undoes what it has done; none, unless it says. */
  readonly meets?: readonly string[];
}

type Row = (command: Command, state: State, fault: Fault) => Rule;

const ENOMEM: Row = () => ({ answer: 'ENOMEM' });
const EFAULT: Row = () => ({ answer: 'EFAULT' });
const EMFILE: Row = () => ({ answer: 'EMFILE' });
const ENOSPC: Row = () => ({ answer: 'ENOSPC' });
const getsBy = (command: Command): Rule => ({ answer: 'ok', leaves: [command] });

/** By site, in order of the alphabet. */
export const RULES: Readonly<Record<string, Row>> = {
  __mt_dup: ENOMEM,
  alloc_empty_file: ENOMEM,
  batch_init: ENOMEM,
  copy_from_user: EFAULT,
  copy_to_user: untold,
  do_update_pinned: ENOMEM,
  dma_buf_dynamic_attach: ENOMEM,
  dma_buf_export: ENOMEM,
  dma_buf_getfile: ENOMEM,
  dup_fd: ENOMEM,
  get_unused_fd: EMFILE,
  iommu_alloc_pages: ENOMEM,
  iommu_attach_group: ENOMEM,
  iommu_group_replace_domain: ENOMEM,
  iommu_map: ENOMEM,
  iommu_paging_domain_alloc: ENOMEM,
  iommufd_device_bind: ENOMEM,
  iommufd_fops_open: ENOMEM,
  iommufd_get_group: ENOMEM,
  iommufd_hw_pagetable_attach: ENOMEM,
  iommufd_ioas_load_iovas: ENOMEM,
  iommufd_object_alloc: ENOMEM,
  iommufd_test_dmabuf_get: ENOMEM,
  iopt_alloc_pages: ENOMEM,
  iopt_area_alloc: ENOMEM,
  iopt_dmabuf_track_domain: ENOMEM,
  iopt_get_pages: ENOMEM,
  iopt_reserve_iova: ENOMEM,
  iopt_table_add_domain: ENOMEM,
  mas_store_gfp: ENOMEM,
  memdup_array_user: ENOMEM,
  memfd_pin_folios: ENOMEM,
  mm_alloc: ENOMEM,
  pci_dev_trylock: busy,
  pci_user_read_config_word: () => ({ answer: 'EIO' }),
  pci_user_write_config_word: unwritten,
  pin_user_pages: EFAULT,
  pm_runtime_resume_and_get: asleep,
  pte_alloc: (command) => (command.do === 'peek' ? getsBy(command) : { answer: 'ENOMEM' }),
  shmem_get_inode: ENOSPC,
  vfio_allocate_device_file: ENOMEM,
  vfio_config_init: ENOMEM,
  vfio_pci_core_feature_dma_buf: ENOMEM,
  vfio_pci_core_mmap: ENOMEM,
  vm_area_alloc: ENOMEM,
  vm_area_dup: ENOMEM,
  vma_iter_prealloc: ENOMEM,
};

/** The rule for a fault in a call; undefined where the documents have none. */
export function ruleOf(command: Command, state: State, fault: Fault): Rule | undefined {
  const rule = RULES[fault.site]?.(command, state, fault);
  if (rule === undefined || rule.leaves !== undefined || !('dev' in command)) return rule;
  // Whoever calls a device that is asleep has woken it, whatever the call came to.
  return sleeper(state, command.dev) ? { ...rule, leaves: [{ do: 'vfio_wake', dev: command.dev }] } : rule;
}

const deviceOf = ({ devices }: State, dev: string): Device | undefined => devices.find(({ name }) => name === dev);

const sleeper = (state: State, dev: string): boolean => {
  const device = deviceOf(state, dev);
  return device?.lowPower !== undefined && device.holder === device.opening;
};

/** What maps, copies, unmaps or sets an option stays done; what makes an object takes it back. Source: iommufd 2.0 */
function untold(command: Command): Rule {
  switch (command.do) {
    case 'ioas_map':
    case 'ioas_map_file':
    case 'ioas_copy':
    case 'ioas_unmap':
    case 'ioas_option_huge_pages':
      return { answer: 'EFAULT', leaves: [command] };
    case 'vfio_bind':
      // It is closed again, and that tries to reset the function; or where that cannot be, all of its set, awake.
      return { answer: 'EFAULT', meets: ['pci_dev_trylock', 'pm_runtime_resume_and_get'] };
    case 'vfio_attach':
      // Also where it has been attached before: the device is not put back.
      return { answer: 'EFAULT', leaves: [command, { do: 'vfio_detach', dev: command.dev }] };
    default:
      return { answer: 'EFAULT' };
  }
}

/** Somebody else is at the function, so it is not reset. Only a reset that was asked for by ioctl says so. */
function busy(command: Command, state: State): Rule {
  if (command.do === 'vfio_bind') return { answer: 'EAGAIN' };
  if (command.do === 'vfio_reset') return { answer: 'EAGAIN', leaves: [command] };
  // A function that is asleep in D3 has lost its memory already, and stays where it is.
  if (command.do === 'vfio_flr' && deviceOf(state, command.dev)?.power === 3) return { answer: 'ok', leaves: [] };
  return getsBy(command);
}

/** The write of PCI_COMMAND fails. If it was to turn memory off, the buffers are revoked, and stay so. */
function unwritten(command: Command, state: State): Rule {
  if (command.do !== 'vfio_memory' || command.enable) return { answer: 'EIO' };
  const device = deviceOf(state, command.dev);
  // Where memory does not answer all of it is revoked anyway; and low power says the same of an awake device.
  if (device === undefined || !device.memory || device.power === 3) return { answer: 'EIO' };
  const { dev } = command;
  return {
    answer: 'EIO',
    leaves: [
      { do: 'vfio_low_power_entry', dev, wakeup: true },
      { do: 'vfio_wake', dev },
    ],
  };
}

/** A function does not wake up. A hot reset has woken those before it; what closes does without. */
function asleep(command: Command, state: State, { nth }: Fault): Rule {
  if (!('dev' in command) || command.do === 'vfio_close') return getsBy(command);
  if (command.do !== 'vfio_hot_reset') return { answer: 'EIO', leaves: [] };
  const bus = deviceOf(state, command.dev)?.config.bus;
  const members = state.devices.filter(({ name, config }) => name !== command.dev && config.bus === bus);
  const all = [command.dev, ...members.map(({ name }) => name)].filter((dev) => sleeper(state, dev));
  return { answer: 'EIO', leaves: all.slice(0, nth - 1).map((dev) => ({ do: 'vfio_wake', dev })) };
}
