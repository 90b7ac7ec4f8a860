/** Where sequences with accesses begin: two devices, three kinds of memory with known contents, and two IOASes. */

import type { IommufdCtx } from '../../impl/iommufd/context.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import type { MockAccess } from '../../impl/iommufd/mock-access.ts';
import type { MockQueue } from '../../impl/iommufd/mock-queue.ts';
import { type Memfd, Mm } from '../../impl/kernel/mm.ts';
import { Machine } from '../../impl/machine.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { type Memory, type Oracle, P } from './oracle.ts';

/** In every aperture, and reserved by nobody. */
export const FIXED_IOVA_BASE = 0x100_0000;
export const SPACES: readonly string[] = ['a0', 'a1', 'a2'];

/** `m1` and `f1` end early, so that what is mapped behind their end cannot be pinned. */
export const MEMORIES: readonly Omit<Memory, 'bytes'>[] = [
  { name: 'm0', kind: 'user', size: 4 * P },
  { name: 'm1', kind: 'user', size: 2 * P },
  { name: 'f0', kind: 'file', size: 4 * P },
  { name: 'f1', kind: 'file', size: 2 * P + 0x800 },
  { name: 'b0', kind: 'dmabuf', size: 8 * P },
];

const device = { bars: new Map([[2, 0x10_0000n]]), resets: ['bus'] } as const;
const devices: MachineConfig['devices'] = new Map([
  ['dev0', { ...device, group: 0, bus: 1 }],
  ['dev1', { ...device, group: 1, bus: 2 }],
]);

/** Domains with half pages and an aperture that begins late, and ones with pages of the CPU. */
const CONFIGS: readonly MachineConfig[] = [
  { pageSize: 0x1000n, pageSizes: [0x800n, 0x10_0000n], aperture: [0x100_0000n, 0x7fff_ffffn], reserved: [], devices },
  { pageSize: 0x1000n, pageSizes: [0x1000n, 0x20_0000n], aperture: [0n, (1n << 48n) - 1n], reserved: [], devices },
];

export interface Scene {
  readonly machine: Machine;
  readonly oracle: Oracle;
  /** Another process; it has no memory. */
  readonly stranger: Mm;
  /** The drivers of the accesses, by name. */
  readonly drivers: Map<string, MockAccess | MockQueue>;
  /** Whether dev0 answers. */
  barAnswers: boolean;
}

const commandFor = ({ name, kind, size }: Omit<Memory, 'bytes'>): Command => {
  if (kind === 'user') return { do: 'mem_alloc', as: name, length: BigInt(size) };
  if (kind === 'file') return { do: 'memfd_create', as: name, length: BigInt(size) };
  return { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, BigInt(size)]], as: name };
};

export function newScene(which: number, kernel: string): Scene {
  const config = CONFIGS[which % CONFIGS.length] as MachineConfig;
  const machine = new Machine(config, kernel);
  const memories = MEMORIES.map(
    (memory): Memory => ({ ...memory, bytes: new Uint8Array(memory.kind === 'dmabuf' ? 0 : memory.size) }),
  );
  const commands: Command[] = [
    { do: 'iommufd_open', as: 'ctx' },
    { do: 'ioas_alloc', ctx: 'ctx', as: 'a0' },
    { do: 'ioas_alloc', ctx: 'ctx', as: 'a1' },
    ...['dev0', 'dev1'].flatMap((dev): Command[] => [
      { do: 'vfio_open', dev },
      { do: 'vfio_bind', dev, ctx: 'ctx' },
    ]),
    ...MEMORIES.map(commandFor),
  ];
  for (const command of commands) {
    const result = machine.execute(command);
    if ('err' in result) throw new Error(`the scene cannot be set: ${command.do} answers ${result.err}`);
  }
  for (const [i, { name, bytes }] of memories.entries()) {
    for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 7 + (at >> 8) * 13 + i * 59 + 1) & 0xff;
    if (bytes.length > 0) backingOf(machine, name).write(0, bytes);
  }
  const spaces = ['a0', 'a1'].map((name) => ({
    name,
    areas: [],
    devices: new Set<string>(),
    hwpts: new Set<string>(),
  }));
  const granule = Number(config.pageSizes[0]);
  return {
    machine,
    oracle: { memories, spaces, accesses: [], granule, exited: false },
    stranger: new Mm(machine.ram),
    drivers: new Map(),
    barAnswers: true,
  };
}

export function ioasOf({ machine }: Scene, name: string): Ioas | undefined {
  const named = machine.names.get(name);
  return named?.kind === 'object' && named.object instanceof Ioas ? named.object : undefined;
}

export const ctxOfScene = (scene: Scene): IommufdCtx => (ioasOf(scene, 'a0') as Ioas).ctx;

/** The memory of that name, as the machine has it. */
export function backingOf({ ram }: Machine, name: string): Memfd['backing'] {
  const backing = ram.backings.find((each) => each.name === name);
  if (backing === undefined) throw new Error(`no memory is called ${name}`);
  return backing;
}
