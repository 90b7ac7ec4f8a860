/**
 * What the hardware can do to its driver, and what each trigger then answers and leaves: rows that a test holds against
 * the implementation. The documents speak of a reset that fails, not of a function that is pulled out: those rows are
 * derived, from what the documents say of the trigger, of M(d), and of a driver that goes.
 */
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import * as ioctl from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { wake } from '../../impl/vfio/power.ts';

type Call = (device: VfioPciDevice) => Thread<Errno | undefined>;

const memoryOff: Call = (device) => ioctl.vfioConfigMemory(device, false);
const memoryOn: Call = (device) => ioctl.vfioConfigMemory(device, true);
const toD0: Call = (device) => ioctl.vfioConfigPower(device, 0);
const toD3: Call = (device) => ioctl.vfioConfigPower(device, 3);
const lowPower: Call = (device) => ioctl.vfioLowPowerEntry(device, false);

export interface Row {
  readonly name: string;
  readonly fault: 'lockedElsewhere' | 'removed';
  /** Before the fault. */
  readonly before?: readonly Call[];
  readonly calls: readonly Call[];
  /** What the calls answer, in order; `ok` for success. */
  readonly answers: readonly string[];
  /** What becomes of the buffer, and of an importer that had mapped it. */
  readonly buffer: 'OK' | 'TEMP_REVOKED';
  readonly told: boolean;
  /** Where the documents say it; else it is derived. */
  readonly source?: string;
}

const locked = { fault: 'lockedElsewhere' } as const;
const removed = { fault: 'removed' } as const;

export const ROWS: readonly Row[] = [
  {
    ...locked,
    name: 'a reset is EAGAIN, has told the importers, and gives the buffers back',
    calls: [ioctl.vfioDeviceReset],
    answers: ['EAGAIN'],
    buffer: 'OK',
    told: true,
    source: '2.8, 2.9 C10',
  },
  {
    ...locked,
    name: 'a reset with memory off is EAGAIN, and gives nothing back',
    before: [memoryOff],
    calls: [ioctl.vfioDeviceReset],
    answers: ['EAGAIN'],
    buffer: 'TEMP_REVOKED',
    told: true,
    source: '2.8, 2.9 C8',
  },
  {
    ...locked,
    name: 'a reset that fails leaves the function in D0 all the same',
    before: [toD3],
    calls: [ioctl.vfioDeviceReset],
    answers: ['EAGAIN'],
    buffer: 'OK',
    told: true,
    source: '2.8, 2.9 C6',
  },
  {
    ...locked,
    name: 'an FLR does not say that it failed',
    calls: [ioctl.vfioConfigFlr],
    answers: ['ok'],
    buffer: 'OK',
    told: true,
    source: '2.8',
  },
  {
    ...locked,
    name: 'an FLR that is not tried leaves the function in D3hot, and the buffers revoked',
    before: [toD3],
    calls: [ioctl.vfioConfigFlr],
    answers: ['ok'],
    buffer: 'TEMP_REVOKED',
    told: true,
  },
  {
    ...locked,
    name: 'a hot reset is EAGAIN, and gives the buffers back',
    calls: [ioctl.vfioHotReset],
    answers: ['EAGAIN'],
    buffer: 'OK',
    told: true,
    source: '2.9 C10, 2.10',
  },
  { ...removed, name: 'removal alone revokes nothing', calls: [], answers: [], buffer: 'OK', told: false },
  {
    ...removed,
    name: 'memory off revokes, and memory on gives back: the bit is virtual',
    calls: [memoryOff, memoryOn],
    answers: ['ok', 'ok'],
    buffer: 'OK',
    told: true,
  },
  {
    ...removed,
    name: 'a reset is ENOTTY, has told the importers, and gives the buffers back',
    calls: [ioctl.vfioDeviceReset],
    answers: ['ENOTTY'],
    buffer: 'OK',
    told: true,
  },
  {
    ...removed,
    name: 'a hot reset is ENOTTY, has told the importers, and gives the buffers back',
    calls: [ioctl.vfioHotReset],
    answers: ['ENOTTY'],
    buffer: 'OK',
    told: true,
  },
  {
    ...removed,
    name: 'a change of power finds out, and from then on nothing is given back',
    calls: [toD3, toD0, ioctl.vfioDeviceReset, memoryOn],
    answers: ['ok', 'ok', 'ENOTTY', 'ok'],
    buffer: 'TEMP_REVOKED',
    told: true,
  },
  {
    ...removed,
    name: 'what sleeps does not wake up for any call',
    before: [lowPower],
    calls: [memoryOn, ioctl.vfioLowPowerExit, ioctl.vfioDeviceReset, ioctl.vfioHotReset, wake],
    answers: ['EIO', 'EIO', 'EIO', 'EIO', 'EIO'],
    buffer: 'TEMP_REVOKED',
    told: true,
  },
];
