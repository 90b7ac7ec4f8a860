/**
 * The notation of the documented sequences (vfio-dmabuf 0.4) as calls on a scene: `cmdMem 0`, `pm D3hot`, `lpEnter
 * wakeup`; with a few words more for what the world does, and for what can be looked at.
 */
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import * as ioctl from '../../impl/vfio/ioctl.ts';
import type { PowerState } from '../../impl/vfio/pci-device.ts';
import { wake } from '../../impl/vfio/power.ts';
import type { Exported } from './vfio-rig.ts';
import type { Scene } from './vfio-scene.ts';

/** Hexadecimal or decimal. */
const number = (text: string | undefined): number => Number(text);

/** A call, as a thread, with what stands behind its word. */
type Call = (scene: Scene, ...words: readonly string[]) => Thread<Errno | undefined>;

const CALLS: Readonly<Record<string, Call>> = {
  cmdMem: ({ device }, on) => ioctl.vfioConfigMemory(device, on === '1'),
  write: ({ device }, offset, count, value) =>
    ioctl.vfioConfigWrite(device, number(offset), number(count), number(value)),
  pm: ({ device }, state = '') => ioctl.vfioConfigPower(device, Number(state[1]) as PowerState),
  reset: ({ device }) => ioctl.vfioDeviceReset(device),
  flr: ({ device }) => ioctl.vfioConfigFlr(device),
  afFlr: ({ device }) => ioctl.vfioConfigAfFlr(device),
  hotReset: ({ device }) => ioctl.vfioHotReset(device),
  lpEnter: (scene, wakeup) => ioctl.vfioLowPowerEntry(scene.device, wakeup === 'wakeup', scene.eventfd),
  lpExit: ({ device }) => ioctl.vfioLowPowerExit(device),
  wake: ({ device }) => wake(device),
  munmap: ({ mapping }) => world(() => mapping.munmap()),
  closeDev: ({ device }) => world(() => device.file?.file.put()),
  export: (scene) => world(() => scene.more.push(scene.rig.exported(scene.device))),
  /** Virtual functions are enabled. */
  sriov: ({ device }) => world(() => (device.sriovActive = true)),
  /** Something that the kernel knows nothing of resets the function. */
  backdoor: ({ device }) => world(() => Object.assign(device.physical, { command: 0, barsProgrammed: false })),
  /** The next time, this goes wrong. */
  fail: ({ rig }, site) => world(() => rig.kernel.faults.arm(1, site)),
};

function* world(happens: () => unknown): Thread<undefined> {
  happens();
}

/** A command, to be run. */
export function callOf(scene: Scene, command: string): Thread<Errno | undefined> {
  const [word = '', ...words] = command.split(' ');
  const call = CALLS[word];
  if (call === undefined) throw new Error(`nobody knows "${command}"`);
  return call(scene, ...words);
}

/** What can be looked at. */
const LOOKS: Readonly<Record<string, (scene: Scene, ...words: readonly string[]) => unknown>> = {
  map: (scene, which) => (which === 'b2' ? mapped(scene.more[0]) : scene.map()),
  touch: ({ mapping }) => (mapping.touch() === 'SIGBUS' ? 'SIGBUS' : 'ok'),
  entries: ({ mapping }) => mapping.reached.length,
  callbacks: ({ importer }) => importer.calls,
  zaps: ({ log }) => log.filter((what) => what.startsWith('zap')).length,
  engaged: ({ device }) => device.engaged,
  power: ({ device }) => `D${device.power}`,
  command: ({ device }) => `0x${device.vconfig?.command.toString(16)}`,
  eventfd: ({ eventfd }) => eventfd.count,
};

const mapped = (buffer: Exported | undefined): string => (buffer?.priv.revoked === false ? 'ok' : 'ENODEV');

/** Go through a sequence; a step may say what it must answer, or what is seen, behind `⇒`. The first that is wrong. */
export function firstWrong(scene: Scene, sequence: readonly string[]): string | undefined {
  for (const step of sequence) {
    const [what = '', wanted = 'ok'] = step.split(' ⇒ ');
    const [word = '', ...words] = what.split(' ');
    const look = LOOKS[word];
    const got = look === undefined ? (scene.rig.call(callOf(scene, what)) ?? 'ok') : look(scene, ...words);
    if (String(got) !== wanted) return `${what}: ${got}, and not ${wanted}`;
  }
  return undefined;
}
