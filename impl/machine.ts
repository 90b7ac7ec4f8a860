/**
 * One machine: RAM, an IOMMU, PCI devices under vfio-pci, and the process that makes the system calls. The file that
 * wires everything; what a command does stands in `execute.ts`.
 */
import type { Result } from '../trace/answer.ts';
import type { Command, Handle } from '../trace/command.ts';
import type { MachineConfig } from '../trace/machine-config.ts';
import { audit } from './audit.ts';
import { operation } from './execute.ts';
import { type Domain, type DomainCall, Iommu } from './iommu/domain.ts';
import { IommuGroup, type ReservedRegion } from './iommu/group.ts';
import type { IommufdCtx, IommufdObject } from './iommufd/context.ts';
import type { MockDevice } from './iommufd/selftest.ts';
import { lastFrom } from './kernel/ascending.ts';
import type { Leaf } from './kernel/cpu-page-table.ts';
import { isErrno } from './kernel/errno.ts';
import { featuresOf } from './kernel/features.ts';
import { FdTable } from './kernel/file.ts';
import { Mm, physOf, Ram } from './kernel/mm.ts';
import type { Pgprot } from './kernel/pgprot.ts';
import { Process, User } from './kernel/process.ts';
import { warnOn } from './kernel/splat.ts';
import { drain, Kernel, syscall, Task, type Thread, UNIPROCESSOR } from './kernel/thread.ts';
import { type Bytes, fromBigint, PAGE_SIZE, type PhysAddr, pagesOf, type UserAddr } from './kernel/units.ts';
import {
  type BarResource,
  HostBridge,
  PCI_ACS_CR,
  PCI_ACS_RR,
  PCI_ACS_SV,
  PCI_ACS_UF,
  PciFunction,
} from './pci/topology.ts';
import { DevSet } from './vfio/dev-set.ts';
import type { VfioPciConfig, VfioPciDevice } from './vfio/pci-device.ts';
import { vfioPciProbe } from './vfio/pci-probe.ts';

/** What an open descriptor is of: a call that wants another kind meets a closed one. */
export type FdKind = 'iommufd' | 'device' | 'file';

export interface NamedFd {
  readonly kind: FdKind;
  fd: number;
}

/** What a handle of a trace stands for. A closed descriptor is -1, a number that no table has. */
export type Named =
  | NamedFd
  | { readonly kind: 'object'; readonly ctx: NamedFd; readonly object: IommufdObject }
  | NamedMem;

/** Where memory was mapped, all of it, though parts may be gone since. */
export interface NamedMem {
  readonly kind: 'mem';
  readonly address: UserAddr;
  readonly length: Bytes;
}

/** A forked process, with what it has mapped, by the names of the fork. */
export interface Child {
  readonly process: Process;
  readonly mems: Map<Handle, NamedMem>;
}

/** Memory of a device, and the name that traces give it. */
interface BarMemory {
  readonly name: string;
  readonly phys: PhysAddr;
  readonly size: number;
}

/** A byte of memory by name: `dev0:2` is BAR 2 of dev0, `m0` is user memory or a memfd. */
export interface Place {
  readonly memory: string;
  readonly offset: number;
}

/** A stretch of memory that the CPU reaches without a fault; `address`, `at` and `length` in bytes. */
export interface CpuMapping extends Place {
  /** The child of whom that is; absent for the process that makes the system calls. */
  readonly process?: Handle;
  readonly address: number;
  readonly length: number;
  /** The mapping by name, and where in it; absent where no name of that process stands for it. */
  readonly map?: Handle;
  readonly at?: number;
  /** How the CPU treats it. */
  readonly prot: Pgprot;
}

const NO_CALLS: readonly DomainCall[] = [];

const FIRST_BAR = 2 ** 38;
const RAM_START = 2 ** 32;
const RAM_END = 2 ** 37;

export class Machine {
  readonly kernel: Kernel;
  readonly iommu: Iommu;
  readonly ram = new Ram(RAM_START, RAM_END);
  readonly fds = new FdTable();
  readonly devices = new Map<Handle, VfioPciDevice>();
  /** Of a CPU that passes DMA on between its root ports. */
  readonly hostBridge = new HostBridge({ vendor: 'amd', family: 0x19 });
  /** By bus of the configuration: each has a root port of its own. */
  readonly rootPorts = new Map<number, PciFunction>();
  readonly names = new Map<Handle, Named>();
  /** Mock devices, by name; one that is removed stays, attached to nothing. */
  readonly mocks = new Map<Handle, MockDevice>();
  /** What each device reserves of an address space. */
  readonly reserved: readonly ReservedRegion[];
  /** The number of the next IOMMU group. */
  groups = 0;
  /** Contexts that are not released, open or kept alive by a bound device. */
  readonly contexts = new Set<IommufdCtx>();
  /** Ascending. */
  readonly #bars: BarMemory[] = [];
  /** Every user that there has been, and every process but children that have exited. */
  readonly processes: Process[] = [];
  readonly users: User[] = [];
  /** Those that were forked and have not exited, by name. */
  readonly children = new Map<Handle, Child>();
  /** What the first process is unmapping, all of it: nobody can name it any more, but a fork may still copy it. */
  readonly leaving = new Map<NamedMem, Handle>();
  #task: Task;

  /** `kernel` is a version such as `7.2.13`; the machine behaves like it. Fails for what is no version. */
  constructor(config: MachineConfig, kernel: string) {
    const features = featuresOf(kernel);
    if (features === undefined) throw new Error(`"${kernel}" is no kernel version`);
    this.kernel = new Kernel(features);
    const [first, last] = config.aperture;
    this.iommu = new Iommu(config.pageSizes.map(Number), fromBigint(first), fromBigint(last));
    this.#task = this.runAs(this.addProcess('process', this.addUser('root')));
    this.reserved = config.reserved.map(([start, last]) => ({ start: fromBigint(start), last: fromBigint(last) }));
    this.#addDevices(config);
  }

  addUser(name: string): User {
    const user = new User(name);
    this.users.push(user);
    return user;
  }

  /** A process of its own, with an empty address space; it may do anything, and nothing limits it. */
  addProcess(name: string, user: User): Process {
    const process = new Process(name, new Mm(this.ram), user);
    this.processes.push(process);
    return process;
  }

  /** From now on, system calls are made by `process`. */
  runAs(process: Process): Task {
    this.kernel.process = process;
    this.#task = new Task(process.name, this.kernel);
    return this.#task;
  }

  /** Who makes the system calls. */
  get process(): Process {
    return this.#task.process as Process;
  }

  /** The address space in which they are made. */
  get mm(): Mm {
    return this.process.mm;
  }

  /** One system call, from entry to return, with nobody else on the machine. */
  execute(command: Command): Result {
    const task = this.#task;
    const result = drain(task, () => operation(this, command));
    // As `syscall` does, without a thread around the thread.
    for (let work = task.work.shift(); work !== undefined; work = task.work.shift()) drain(task, work);
    return result;
  }

  /** The same as a thread, for a driver that interleaves; run it on a task of its own. */
  start(name: string, command: Command): { readonly task: Task; readonly thread: Thread<Result> } {
    warnOn(UNIPROCESSOR, 'one processor interleaves nothing');
    const task = new Task(name, this.kernel);
    return { task, thread: syscall(task, () => operation(this, command)) };
  }

  /** A device that does DMA, hardware or mock. */
  dmaDevice(name: Handle): VfioPciDevice | MockDevice | undefined {
    return this.devices.get(name) ?? this.mocks.get(name);
  }

  /** What the device's DMA goes through now; undefined for nothing. */
  domainOf(device: Handle): Domain | undefined {
    return this.dmaDevice(device)?.group.domain;
  }

  /** The calls that reached domains since the last time; hands them over. */
  takeCalls(): readonly DomainCall[] {
    const { calls } = this.iommu;
    return calls.length === 0 ? NO_CALLS : calls.splice(0);
  }

  /** Which memory lies at a physical address. */
  placeOf(phys: PhysAddr): Place | undefined {
    if (phys < FIRST_BAR) {
      const backing = this.ram.at(Math.floor(phys / PAGE_SIZE));
      return backing && { memory: backing.name, offset: phys - backing.firstPfn * PAGE_SIZE };
    }
    const bar = lastFrom(this.#bars, phys, (each) => each.phys);
    return bar && phys < bar.phys + bar.size ? { memory: bar.name, offset: phys - bar.phys } : undefined;
  }

  /** The leaves of all page tables that reach device memory: what every revoke must find and remove. */
  eachReached(visit: (process: Process, place: Place, leaf: Leaf) => void): void {
    for (const process of this.processes) {
      for (const leaf of process.mm.pageTable.all) {
        const place = leaf.pfn < FIRST_BAR / PAGE_SIZE ? undefined : this.placeOf(physOf(leaf.pfn, 0));
        if (place !== undefined) visit(process, place, leaf);
      }
    }
  }

  /** The same, with the names that traces give. */
  cpuMappings(): CpuMapping[] {
    const found: CpuMapping[] = [];
    this.eachReached((process, place, { page, order, prot }) => {
      const own = process === this.process;
      const [address, length] = [page * PAGE_SIZE, 2 ** order * PAGE_SIZE];
      const names = own ? this.names : this.children.get(process.name)?.mems;
      found.push({ ...place, address, length, prot, ...(!own && { process: process.name }), ...within(names, page) });
    });
    return found;
  }

  /** The byte of memory at a physical address as traces write it: `?` where there is none that has a name. */
  targetOf(phys: PhysAddr): string {
    const place = this.placeOf(phys);
    return place === undefined ? '?' : `${place.memory}+0x${place.offset.toString(16)}`;
  }

  /**
   * The lifetime rules (I-70 to I-79, V-13, V-18): each breach in a line; none when all is well. At rest only. Unless
   * it is of the `whole`, what nobody has touched since the last one is taken to be as it was.
   */
  audit(whole = true): readonly string[] {
    return audit(this, whole);
  }

  /** With an IOMMU, every port sends what goes to peers up to it. */
  #rootPort(bus: number): PciFunction {
    const acs = PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF;
    return new PciFunction({ name: `port${bus}`, parent: this.hostBridge, type: 'root port', acs });
  }

  #probe(config: VfioPciConfig): VfioPciDevice {
    const device = drain(this.#task, () => vfioPciProbe(config));
    if (isErrno(device)) throw new Error(`${config.pci.name} is not probed: ${device}`);
    return device;
  }

  #addDevices(config: MachineConfig): void {
    const groups = new Map<number, IommuGroup>();
    const sets = new Map<number, DevSet>();
    let phys = FIRST_BAR;
    for (const [name, { bars, group, bus, resets, hotResetErr }] of config.devices) {
      this.groups = Math.max(this.groups, group + 1);
      const resources = new Map<number, BarResource>();
      for (const [number, length] of bars) {
        const size = Number(length);
        // A BAR begins at a multiple of its size; what follows it is nobody's.
        phys = Math.ceil(phys / Math.max(size, PAGE_SIZE)) * Math.max(size, PAGE_SIZE);
        resources.set(number, { size, phys });
        this.#bars.push({ name: `${name}:${number}`, phys, size });
        phys += Math.max(size, PAGE_SIZE) + PAGE_SIZE;
      }
      const pci = new PciFunction({
        name,
        parent: getOrAdd(this.rootPorts, bus, () => this.#rootPort(bus)),
        bars: resources,
      });
      const device = this.#probe({
        pci,
        group: getOrAdd(groups, group, () => new IommuGroup(group)),
        reserved: this.reserved,
        devSet: getOrAdd(sets, bus, () => new DevSet(`bus${bus}`)),
        resets,
        ...(hotResetErr !== undefined && { hotResetErr }),
      });
      this.devices.set(name, device);
    }
  }
}

/** In which memory by name a page of a process lies, and where. */
function within(names: ReadonlyMap<Handle, Named> | undefined, page: number): Pick<CpuMapping, 'map' | 'at'> {
  for (const [map, named] of names ?? []) {
    if (named.kind !== 'mem') continue;
    const { address, length } = named;
    if (address.page > page || page >= address.page + pagesOf(length)) continue;
    return { map, at: (page - address.page) * PAGE_SIZE };
  }
  return {};
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
