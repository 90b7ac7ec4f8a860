/** Host bridges that pass DMA on from one of their root ports to another: some CPUs, and those on a list. */
import type { HostBridge, PciFunction, Platform } from './topology.ts';

/** The first AMD family of which every member does. */
const AMD_ZEN = 0x17;

const INTEL = 0x8086;
const GOOGLE = 0x1ae0;
const NVIDIA = 0x10de;

interface Listed {
  readonly vendor: number;
  /** First and last id; all of the vendor's, if absent. */
  readonly devices?: readonly [first: number, last: number];
  /** Between its own root ports only, and not to another host bridge. */
  readonly sameHostBridge?: true;
}

/** `pci_p2pdma_whitelist`, without the ids of accelerators, which our source does not name. */
const WHITELIST: readonly Listed[] = [
  { vendor: INTEL, devices: [0x3c00, 0x3c01], sameHostBridge: true },
  { vendor: INTEL, devices: [0x2f00, 0x2f01], sameHostBridge: true },
  { vendor: INTEL, devices: [0x2030, 0x2033] },
  { vendor: INTEL, devices: [0x2020, 0x2020] },
  { vendor: INTEL, devices: [0x09a2, 0x09a2] },
  { vendor: GOOGLE },
  { vendor: NVIDIA, devices: [0x2f95, 0x2f98] },
];

/** `cpu_supports_p2pdma()` */
export const cpuSupportsP2pdma = ({ vendor, family }: Platform): boolean => vendor === 'amd' && family >= AMD_ZEN;

/** `host_bridge_whitelist()`: whether DMA gets from below one host bridge to below the other, or below itself. */
export function hostBridgeWhitelist(a: HostBridge, b: HostBridge): boolean {
  if (a === b) return listed(a) !== undefined;
  return [a, b].every((host) => {
    const entry = listed(host);
    return entry !== undefined && entry.sameHostBridge !== true;
  });
}

/** The first entry that a host bridge matches. */
function listed(host: HostBridge): Listed | undefined {
  const id = hostBridgeDev(host);
  return (
    id && WHITELIST.find(({ vendor, devices = [0, 0xffff] }) => vendor === id.vendor && within(id.device, devices))
  );
}

const within = (id: number, [first, last]: readonly [number, number]): boolean => first <= id && id <= last;

/** `pci_host_bridge_dev()`: who tells what the host bridge is. The first function, if it is 00.0 or a root port. */
function hostBridgeDev({ rootBus: [first] }: HostBridge): PciFunction | undefined {
  return first !== undefined && (first.devfn === 0 || first.type === 'root port') ? first : undefined;
}
