/** What the unit tests of the importing side share: a small machine, the commands in short, and what they leave. */
import { expect } from 'vitest';
import type { Domain } from '../../impl/iommu/domain.ts';
import { IOMMU_CACHE, IOMMU_MMIO, IOMMU_READ, IOMMU_WRITE } from '../../impl/iommu/prot.ts';
import { Hwpt } from '../../impl/iommufd/hw-pagetable.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import type { Backing } from '../../impl/kernel/mm.ts';
import { drain, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { hex, toBigint } from '../../impl/kernel/units.ts';
import { Machine } from '../../impl/machine.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command, Handle } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

/** Two devices, each alone in its group and on its bus, each with 4 MiB of memory in BAR 2. */
export const CONFIG: MachineConfig = {
  pageSize: 0x1000n,
  pageSizes: [0x1000n, 0x200000n, 0x40000000n],
  aperture: [0n, 0xffff_ffff_ffffn],
  reserved: [[0xfee0_0000n, 0xfeef_ffffn]],
  devices: new Map([
    ['dev0', { bars: new Map([[2, 0x400000n]]), group: 0, bus: 1, resets: ['flr'] }],
    ['dev1', { bars: new Map([[2, 0x400000n]]), group: 1, bus: 2, resets: ['flr'] }],
  ]),
};

/** An IOMMU like that of the kernel's selftests: half pages, and an aperture that begins late and ends early. */
export const MOCK: MachineConfig = {
  ...CONFIG,
  pageSizes: [0x800n, 0x100000n],
  aperture: [0x0100_0000n, 0x7fff_ffffn],
  reserved: [],
};

/** The machine of the mock lane: pages of every power of two from 2 KiB to 1 GiB, and no hardware. */
export const MOCK_LANE: MachineConfig = {
  ...MOCK,
  pageSizes: Array.from({ length: 20 }, (_, i) => 0x800n << BigInt(i)),
  devices: new Map(),
};

/** Where the tests map, when they choose: in every aperture, and reserved by nobody. */
export const A = 0x0100_0000n;
export const U64_MAX = 2n ** 64n - 1n;

/** Answers. */
export const OK: Result = { ok: {} };
export const at = (iova: bigint): Result => ({ ok: { iova } });
export const removed = (length: bigint): Result => ({ ok: { length } });

const PROTECTION = [
  [IOMMU_READ, 'R'],
  [IOMMU_WRITE, 'W'],
  [IOMMU_CACHE, '+CACHE'],
  [IOMMU_MMIO, '+MMIO'],
] as const;

export const protection = (prot: number): string => PROTECTION.map(([bit, name]) => (prot & bit ? name : '')).join('');

/**
 * A machine with a context `ctx` and an IOAS `ioas`; dev0 and dev1, where the machine has them, are open and bound,
 * and dev0 has exported 4 MiB as `buf`.
 */
export class Rig {
  readonly machine: Machine;

  constructor(config: MachineConfig = CONFIG, kernel = '7.2') {
    this.machine = new Machine(config, kernel);
    this.must(
      { do: 'iommufd_open', as: 'ctx' },
      { do: 'ioas_alloc', ctx: 'ctx', as: 'ioas' },
      ...['dev0', 'dev1']
        .filter((dev) => config.devices.has(dev))
        .flatMap((dev): Command[] => [
          { do: 'vfio_open', dev },
          { do: 'vfio_bind', dev, ctx: 'ctx' },
        ]),
    );
    if (config.devices.has('dev0')) this.export('buf', [[0n, 0x400000n]]);
  }

  /** One command, and what it answers. */
  do(command: Command): Result {
    return this.machine.execute(command);
  }

  /** Commands that succeed; the answer of the last. */
  must(...commands: readonly Command[]): Result {
    let answer = OK;
    for (const command of commands) {
      answer = this.do(command);
      if ('err' in answer) throw new Error(`${command.do} answers ${answer.err}`);
    }
    return answer;
  }

  export(as: Handle, ranges: readonly (readonly [bigint, bigint])[], dev = 'dev0'): void {
    this.must({ do: 'vfio_export', dev, region: 2, ranges, as });
  }

  attach(dev = 'dev0', pt = 'ioas'): Result {
    return this.do({ do: 'vfio_attach', dev, pt });
  }

  /** Memory of dev0 off, which revokes all of its buffers; or on again. */
  memory(enable: boolean, dev = 'dev0'): Result {
    return this.do({ do: 'vfio_memory', dev, enable });
  }

  hwpt(as: Handle, ioas = 'ioas'): Result {
    return this.do({ do: 'hwpt_alloc', dev: 'dev0', ioas, as });
  }

  /** MAP_FILE of `buf` at A, unless told otherwise. */
  mapFile(how: Partial<Extract<Command, { do: 'ioas_map_file' }>> = {}): Result {
    return this.do({ ...mapFileOf(), ...how });
  }

  map(mem: Handle, length: bigint, how: Partial<Extract<Command, { do: 'ioas_map' }>> = {}): Result {
    return this.do({ do: 'ioas_map', ioas: 'ioas', mem, offset: 0n, length, prot: 'rw', ...how });
  }

  copy(src_iova: bigint, length: bigint, how: Partial<Extract<Command, { do: 'ioas_copy' }>> = {}): Result {
    return this.do({ do: 'ioas_copy', dst: 'ioas', src: 'ioas', src_iova, length, prot: 'rw', ...how });
  }

  unmap(iova: bigint, length: bigint, ioas = 'ioas'): Result {
    return this.do({ do: 'ioas_unmap', ioas, iova, length });
  }

  ranges(ioas = 'ioas'): Result {
    return this.do({ do: 'ioas_iova_ranges', ioas });
  }

  ioas(handle = 'ioas'): Ioas {
    const named = this.machine.names.get(handle);
    if (named?.kind !== 'object' || !(named.object instanceof Ioas)) throw new Error(`${handle} is no IOAS`);
    return named.object;
  }

  /** The domain of a HWPT, or what a device's DMA goes through. */
  domain(handle: Handle): Domain {
    const named = this.machine.names.get(handle);
    const hwpt = named?.kind === 'object' && named.object instanceof Hwpt ? named.object : undefined;
    const domain = hwpt?.domain ?? this.machine.domainOf(handle);
    if (domain === undefined) throw new Error(`${handle} has no domain`);
    return domain;
  }

  /** What a domain translates, as `iova -> memory length protection`. */
  reach(handle: Handle): string[] {
    const domain = this.domain(handle);
    return domain
      .stretches(domain.iommu.apertureFirst, domain.iommu.apertureLast)
      .map(({ iova, phys, length, prot }) => `${hex(iova)} -> ${this.place(phys)} ${hex(length)} ${protection(prot)}`);
  }

  /** Calls that domains have received since the last time; each names its domain. */
  calls(): string[] {
    return this.machine.takeCalls().map((call) => {
      const where = `${call.domain.name} ${hex(call.iova)}`;
      if (call.op === 'unmap') return `unmap ${where} ${hex(call.length)}`;
      return `map ${where} -> ${this.place(call.phys)} ${hex(call.length)} ${protection(call.prot)}`;
    });
  }

  place(phys: number): string {
    const place = this.machine.placeOf(phys);
    return place === undefined ? 'nothing' : `${place.memory}+${hex(place.offset)}`;
  }

  /** The number of an open descriptor. */
  fd(handle: Handle): number {
    const named = this.machine.names.get(handle);
    if (named === undefined || !('fd' in named)) throw new Error(`${handle} is no descriptor`);
    return named.fd;
  }

  /** Kernel code as a system call of its own. */
  call<T>(thread: Thread<T>): T {
    const task = new Task('caller', this.machine.kernel);
    return drain(task, () => syscall(task, () => thread));
  }

  /** Kernel code that never waits, as a system call of its own. */
  inTask<T>(work: () => T): T {
    return this.call(
      (function* (): Thread<T> {
        return work();
      })(),
    );
  }

  backing(name: string): Backing {
    const backing = this.machine.ram.backings.find((each) => each.name === name);
    if (backing === undefined) throw new Error(`no memory is called ${name}`);
    return backing;
  }

  /** Pages pinned, by the memory that they back; none is not mentioned. */
  pinned(): Record<string, number> {
    const backings = this.machine.ram.backings.filter(({ pinned }) => pinned !== 0);
    return Object.fromEntries(backings.map(({ name, pinned }) => [name, pinned]));
  }

  /** How many attachments each buffer of dev0 has. */
  attachments(): number[] {
    return (this.machine.devices.get('dev0')?.dmabufs ?? []).map(({ dmabuf }) => dmabuf.attachments.length);
  }

  /** All that one failed call must leave as it was. */
  state(domains: readonly Handle[], ioases: readonly Handle[] = ['ioas']): unknown {
    return {
      reach: domains.map((handle) => this.reach(handle)),
      ranges: ioases.map((ioas) => this.ranges(ioas)),
      allowed: ioases.map((ioas) =>
        this.ioas(ioas)
          .iopt.allowed.all()
          .map(({ start, last }) => [hex(start), hex(last)]),
      ),
      areas: ioases.map((ioas) =>
        this.ioas(ioas)
          .iopt.areas.all()
          .map((area) => [toBigint(area.iova), toBigint(area.length), area.pages?.kref.count, area.pages?.npinned]),
      ),
      domains: ioases.map((ioas) => this.ioas(ioas).iopt.domains.map(({ name }) => name)),
      objects: this.ioas().ctx.objects.map(({ kind, id, users }) => [kind, id, users]),
      attachments: this.attachments(),
      files: [...this.machine.names.values()].flatMap((named) =>
        'fd' in named ? [this.machine.fds.lookup(named.fd)?.refs.count] : [],
      ),
      pinned: this.pinned(),
      devices: [...this.machine.devices.values()].map(({ group, iommufdDevice, iommufdAttached, openCount }) => ({
        owned: group.ownerCount,
        through: group.domain?.name,
        bound: iommufdDevice?.id,
        iommufdAttached,
        openCount,
      })),
      audit: this.machine.audit(),
    };
  }

  /** After every command of a test: nothing is held by nobody. */
  expectAtRest(): void {
    expect(this.machine.audit()).toEqual([]);
  }
}

/** An IOAS with dev0 attached to it, and more as told; the log of calls begins after that. */
export function attached(more: readonly Command[] = [], kernel = '7.2', config = CONFIG): Rig {
  const rig = new Rig(config, kernel);
  rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' }, ...more);
  rig.calls();
  return rig;
}

/** The plain MAP_FILE that most tests start from. */
export const mapFileOf = (): Extract<Command, { do: 'ioas_map_file' }> => ({
  do: 'ioas_map_file',
  ioas: 'ioas',
  fd: 'buf',
  start: 0n,
  length: 0x4000n,
  prot: 'rw',
  iova: A,
});
