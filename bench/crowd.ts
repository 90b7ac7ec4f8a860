/** What one operation of the implementation alone costs in a crowd: few IOASes, each with a device, and many. */
import { Machine } from '../impl/machine.ts';
import type { Answer } from '../trace/answer.ts';
import type { Command, Handle } from '../trace/command.ts';
import type { DeviceConfig, MachineConfig } from '../trace/machine-config.ts';
import { config, KERNEL } from './mix.ts';
import { median, ratio, rounds } from './rounds.ts';
import { printTable, times, whole } from './table.ts';

const FEW = 10;
const MANY = 1000;
/** Neither of these fits into the processor's cache, so what grows between them grows with their number. */
const MOST = 4000;
const ROUNDS = 5;
const MILLISECONDS = 100;
/** Operations in one go. */
const BATCH = 200;
const PAGE = 0x1000n;
const REGION = 2;

interface Case {
  readonly name: string;
  /** One operation on number `k`, that leaves everything as it was. */
  readonly operate: (crowd: Crowd, k: number) => void;
}

const CASES: readonly Case[] = [
  { name: 'map_file at a fixed IOVA, unmap', operate: (crowd, k) => crowd.mapAndUnmap(k, 16n * PAGE) },
  { name: 'map_file automatically, unmap', operate: (crowd, k) => crowd.mapAndUnmap(k) },
  {
    name: 'copy to another IOAS, unmap',
    operate: (crowd, k) => {
      const [src, dst, dst_iova] = [`a${k}`, `a${(k * 7 + 1) % crowd.size}`, 32n * PAGE];
      crowd.call({ do: 'ioas_copy', dst, src, src_iova: PAGE, length: PAGE, prot: 'rw', dst_iova });
      crowd.call({ do: 'ioas_unmap', ioas: dst, iova: dst_iova, length: PAGE });
    },
  },
  {
    name: 'move a device to another IOAS, and back',
    operate: (crowd, k) => {
      const dev = `dev${k}`;
      crowd.call({ do: 'vfio_attach', dev, pt: `a${(k * 7 + 1) % crowd.size}` });
      crowd.call({ do: 'vfio_attach', dev, pt: `a${k}` });
    },
  },
  {
    name: 'a domain made by hand, destroyed',
    operate: (crowd, k) => {
      crowd.call({ do: 'hwpt_alloc', dev: `dev${k}`, ioas: `a${k}`, as: 'h' });
      crowd.call({ do: 'destroy', obj: 'h' });
    },
  },
  {
    name: 'a new IOAS, destroyed',
    operate: (crowd) => {
      crowd.call({ do: 'ioas_alloc', ctx: 'ctx', as: 'a' });
      crowd.call({ do: 'destroy', obj: 'a' });
    },
  },
  {
    name: 'revoke, and give back',
    operate: (crowd, k) => {
      crowd.call({ do: 'vfio_memory', dev: `dev${k}`, enable: false });
      crowd.call({ do: 'vfio_memory', dev: `dev${k}`, enable: true });
    },
  },
  {
    name: 'a DMA read',
    operate: (crowd, k) => {
      crowd.call({ do: 'dma_read', dev: `dev${k}`, iova: PAGE });
    },
  },
];

export function crowds(): void {
  const rows = CASES.map((it) => {
    const competitors = [FEW, MANY, MOST].map((size) => {
      const crowd = new Crowd(size);
      return { name: it.name, run: () => crowd.run(it.operate) };
    });
    const [few = [], many = [], most = []] = rounds(competitors, ROUNDS, MILLISECONDS);
    return [it.name, whole(median(few)), whole(median(many)), whole(median(most)), times(ratio(most, many))];
  });
  printTable(
    ['the implementation alone, ns', `${FEW} IOASes`, `${whole(MANY)} IOASes`, `${whole(MOST)} IOASes`, 'last two'],
    rows,
  );
  console.log(`Each has a device of its own, in a domain and a group of its own, and maps a buffer of it.\n`);
}

/** One context, with so many IOASes, domains, devices and buffers. */
class Crowd {
  readonly size: number;
  readonly #machine: Machine;
  #random = 1;

  constructor(size: number) {
    this.size = size;
    this.#machine = new Machine(machineOf(size), KERNEL);
    this.call({ do: 'iommufd_open', as: 'ctx' });
    for (let k = 0; k < size; k++) {
      const [dev, ioas] = [`dev${k}`, `a${k}`];
      this.call({ do: 'ioas_alloc', ctx: 'ctx', as: ioas });
      this.call({ do: 'vfio_open', dev });
      this.call({ do: 'vfio_bind', dev, ctx: 'ctx' });
      this.call({ do: 'vfio_attach', dev, pt: ioas });
      this.call({ do: 'vfio_export', dev, region: REGION, ranges: [[0n, 4n * PAGE]], as: `b${k}` });
      this.#map(k, PAGE);
    }
  }

  /** A batch of operations; how many. */
  run(operate: Case['operate']): number {
    for (let i = 0; i < BATCH; i++) operate(this, this.#some());
    return BATCH;
  }

  mapAndUnmap(k: number, iova?: bigint): void {
    const answer = this.#map(k, iova);
    this.call({ do: 'ioas_unmap', ioas: `a${k}`, iova: answer.iova as bigint, length: PAGE });
  }

  #map(k: number, iova?: bigint): Answer {
    const fixed = iova === undefined ? {} : { iova };
    return this.call({
      do: 'ioas_map_file',
      ioas: `a${k}`,
      fd: `b${k}`,
      start: 0n,
      length: PAGE,
      prot: 'rw',
      ...fixed,
    });
  }

  call(command: Command): Answer {
    const result = this.#machine.execute(command);
    this.#machine.takeCalls();
    if ('err' in result) throw new Error(`${command.do} is refused: ${result.err}`);
    return result.ok;
  }

  #some(): number {
    this.#random = (Math.imul(this.#random, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#random / 2 ** 32) * this.size);
  }
}

/** The machine of the other measurements, with so many devices, each in a group and on a bus of its own. */
function machineOf(devices: number): MachineConfig {
  const all = new Map<Handle, DeviceConfig>();
  for (let k = 0; k < devices; k++) {
    all.set(`dev${k}`, { bars: new Map([[REGION, 16n * PAGE]]), group: k, bus: k, resets: [] });
  }
  return { ...config, devices: all };
}
