/**
 * One way to give the memory of `dev0` to the DMA of `dev1`, on a machine of its own. What both ways have in common
 * stands here; what a mapping is, and who lends the memory, stands with each.
 */
import type { Domain } from '../../impl/iommu/domain.ts';
import { Machine } from '../../impl/machine.ts';
import { answersAtRest } from '../../impl/vfio/audit.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { Observation, Pte, Stretch } from '../../model/invariants.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { showCommand, showResult } from '../../trace/show.ts';
import { target, wholeDomain } from '../observe.ts';
import { PAGES, type Step } from './step.ts';

export const P = 0x1000n;
export const OWNER = 'dev0';
export const PEER = 'dev1';
export const REGION = 2;
const MEMORY = `${OWNER}:${REGION}`;

const device = (group: number): NonNullable<ReturnType<MachineConfig['devices']['get']>> => ({
  bars: new Map([[REGION, BigInt(PAGES) * P]]),
  group,
  bus: group,
  resets: ['flr', 'pm'],
});
const CONFIG: MachineConfig = {
  pageSize: P,
  pageSizes: [P, 0x20_0000n],
  aperture: [0n, (1n << 48n) - 1n],
  reserved: [[0xfee0_0000n, 0xfeef_ffffn]],
  devices: new Map([
    [OWNER, device(0)],
    [PEER, device(1)],
  ]),
};

/** One system call as people read it, and what it answered. */
export interface Line {
  readonly shown: string;
  readonly answer: string;
}

/** A mapping of the BAR in the process. */
interface Mapping {
  readonly name: string;
  readonly offset: bigint;
  readonly length: bigint;
}

export abstract class Lane {
  abstract readonly name: string;
  readonly machine = new Machine(CONFIG, '7.3');
  readonly #mappings: Mapping[] = [];
  #mapped = 0;

  /** Carry a step out: a line for each system call, none when there is nothing that the step could be about. */
  take(step: Step): Line[] {
    switch (step.do) {
      case 'mmapBar':
        return this.#mmapBar(step.page, step.pages);
      case 'mapDma': {
        const mapping = this.#mapping(step.map);
        return mapping === undefined ? [] : this.mapDma(mapping, iovaOf(step.at));
      }
      case 'unmapDma':
        return [this.unmapDma(iovaOf(step.at))];
      case 'touch': {
        const mapping = this.#mapping(step.map);
        return mapping === undefined ? [] : [this.run({ do: 'peek', map: mapping.name, offset: 0n })];
      }
      case 'memory':
        return [
          step.how === 'command'
            ? this.run({ do: 'vfio_memory', dev: OWNER, enable: step.on })
            : this.run({ do: 'vfio_power', dev: OWNER, state: step.on ? 0 : 3 }),
        ];
      case 'reset':
        return [this.run({ do: 'vfio_reset', dev: OWNER })];
      case 'munmap':
        return this.#munmap(step.map);
      case 'closeDev':
        return [this.run({ do: 'vfio_close', dev: OWNER })];
      case 'openDev':
        return this.openDev();
    }
  }

  protected abstract mapDma(mapping: Mapping, iova: bigint): Line[];
  protected abstract unmapDma(iova: bigint): Line;
  protected abstract openDev(): Line[];
  /** What has become of whoever lent byte `offset` of the BAR; undefined while he lends it. */
  protected abstract lost(owner: VfioPciDevice, offset: bigint): string | undefined;

  protected run(command: Command): Line {
    return { shown: showCommand(command), answer: showResult(this.machine.execute(command)) };
  }

  #mmapBar(page: number, pages: number): Line[] {
    const mapping = { name: `v${this.#mapped++}`, offset: BigInt(page) * P, length: BigInt(pages) * P };
    const { name: as, offset, length } = mapping;
    const line = this.run({ do: 'bar_mmap', dev: OWNER, region: REGION, offset, length, as });
    if (line.answer === 'ok') this.#mappings.push(mapping);
    return [line];
  }

  #mapping(n: number): Mapping | undefined {
    return this.#mappings[n % Math.max(1, this.#mappings.length)];
  }

  #munmap(n: number): Line[] {
    const mapping = this.#mapping(n);
    if (mapping === undefined) return [];
    this.#mappings.splice(this.#mappings.indexOf(mapping), 1);
    return [this.run({ do: 'munmap', map: mapping.name })];
  }

  /** Why nobody may reach byte `offset` of the BAR now: each reason for itself, none when it is lent. */
  takenBack(offset: bigint): string[] {
    const owner = this.machine.devices.get(OWNER) as VfioPciDevice;
    const off = owner.vconfig !== undefined && !answersAtRest(owner) && `memory of ${OWNER} is off`;
    const closed = owner.vconfig === undefined && `${OWNER} is closed`;
    return [off, closed, this.lost(owner, offset)].filter((it) => typeof it === 'string');
  }

  /** What the invariants look at: the page tables as the hardware walks them, page by page, and what is not lent. */
  observe(): Observation {
    const ptes = [...this.machine.iommu.domains].flatMap((domain) => this.#pages(domain));
    const revoked: Stretch[] = [];
    for (let offset = 0n; offset < BigInt(PAGES) * P; offset += P) {
      if (this.takenBack(offset).length > 0) revoked.push({ memory: MEMORY, offset, length: P });
    }
    return { ptes, areas: [], revoked, cpu: [], maps: [], unmaps: [], keepsMmio: true };
  }

  #pages(domain: Domain): Pte[] {
    return wholeDomain(this.machine, domain).flatMap((pte) =>
      Array.from({ length: Number(pte.length / P) }, (_, i) => {
        const from = BigInt(i) * P;
        return { ...pte, iova: pte.iova + from, offset: pte.offset + from, length: P };
      }),
    );
  }

  /** What the peer reaches, each stretch as `0x1000000 → dev0:2+0x0`. */
  get reach(): string[] {
    const domain = this.machine.domainOf(PEER);
    if (domain === undefined) return [];
    return wholeDomain(this.machine, domain).map(
      ({ iova, memory, offset }) => `0x${iova.toString(16)} → ${target(memory, offset)}`,
    );
  }
}

/** Two pages have room at each place. */
const iovaOf = (at: number): bigint => 0x100_0000n + BigInt(at) * 0x1_0000n;
export const PLACE_LENGTH = 2n * P;

/** Whether the range of pages [first, first + pages) of the machine has the byte. */
export const holds = (firstPfn: number, pages: number, phys: number): boolean =>
  firstPfn * Number(P) <= phys && phys < (firstPfn + pages) * Number(P);
export const barStart = (owner: VfioPciDevice): number => owner.bars.get(REGION)?.phys ?? 0;
