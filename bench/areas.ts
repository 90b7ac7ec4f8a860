/** What one operation of the implementation alone costs with ten areas alive, and with ten thousand. */
import { Machine } from '../impl/machine.ts';
import type { Answer } from '../trace/answer.ts';
import type { Command } from '../trace/command.ts';
import { config, KERNEL } from './mix.ts';
import { median, ratio, rounds } from './rounds.ts';
import { printTable, times, whole } from './table.ts';

const FEW = 10;
const MANY = 10_000;
const ROUNDS = 5;
const MILLISECONDS = 100;
/** Operations in one go. */
const BATCH = 200;

const PAGE = 0x1000n;
/** Where packed areas begin: the lowest that automatic placement takes. */
const LOWEST = PAGE;

/** How a machine is laid out for a case: how many buffers, how far apart areas begin, how long (a page) they are. */
interface Layout {
  readonly buffers: number;
  readonly stride: bigint;
  readonly first?: bigint;
  readonly length?: bigint;
}

interface Case extends Layout {
  readonly name: string;
  /** One operation, `k` being some area, that leaves as many areas as it found. */
  readonly operate: (bench: Bench, k: number) => void;
}

const PACKED: Layout = { buffers: 1, stride: PAGE };
/** A page free between two areas. */
const APART: Layout = { buffers: 1, stride: 2n * PAGE };
/** Two pages free between two areas of two, but no two that lie as automatic placement wants them. */
const MISALIGNED: Layout = { buffers: 1, stride: 4n * PAGE, first: 3n * PAGE, length: 2n * PAGE };

/** Beside the area, in the hole. */
const mapAside = (bench: Bench, k: number): void => {
  bench.mapAndUnmap(k, bench.iova(k) + PAGE);
};

const mapAnywhere = (bench: Bench, k: number): void => {
  bench.mapAndUnmap(k, undefined);
};

const mapTwo = (bench: Bench, k: number): void => {
  bench.mapAndUnmap(k, undefined, 2n * PAGE);
};

const copyAside = (bench: Bench, k: number): void => {
  const [src_iova, dst_iova] = [bench.iova(k), bench.iova(k) + PAGE];
  bench.call({ do: 'ioas_copy', dst: 'a0', src: 'a0', src_iova, length: PAGE, prot: 'rw', dst_iova });
  bench.unmap(dst_iova, PAGE);
};

/** All of an old area is long out of the processor's cache. */
const replace = (bench: Bench, k: number): void => {
  bench.unmap(bench.iova(k), PAGE);
  bench.map(k);
};

const CASES: readonly Case[] = [
  { name: 'map_file at a fixed IOVA, unmap', ...APART, operate: mapAside },
  { name: '  on 6 buffers', ...APART, buffers: 6, operate: mapAside },
  { name: 'map_file automatically, unmap', ...PACKED, operate: mapAnywhere },
  { name: '  on 6 buffers', ...PACKED, buffers: 6, operate: mapAnywhere },
  { name: '  past holes that are too short', ...APART, operate: mapTwo },
  { name: '  past holes that are misaligned', ...MISALIGNED, operate: mapAnywhere },
  { name: 'copy, unmap', ...APART, operate: copyAside },
  { name: '  on 6 buffers', ...APART, buffers: 6, operate: copyAside },
  { name: 'unmap an old area, map it again', ...APART, operate: replace },
  { name: '  on 6 buffers', ...APART, buffers: 6, operate: replace },
];

export function areas(): void {
  const rows = CASES.map((it) => {
    const competitors = [FEW, MANY].map((live) => {
      const bench = new Bench(it, live);
      return { name: it.name, run: () => bench.run(it.operate) };
    });
    const [few = [], many = []] = rounds(competitors, ROUNDS, MILLISECONDS);
    return [it.name, whole(median(few)), whole(median(many)), times(ratio(many, few))];
  });
  printTable(['the implementation alone, ns', `${FEW} areas`, `${whole(MANY)} areas`, 'ratio'], rows);
  console.log(
    `Medians of ${ROUNDS} rounds, in turn; a device is attached, areas are picked at random. Target: 1.5×.\n`,
  );
}

/** A machine with so many areas alive, and a device that reaches them. */
class Bench {
  readonly #machine = new Machine(config, KERNEL);
  readonly #live: number;
  readonly #layout: Layout;
  readonly #length: bigint;
  #random = 1;

  constructor(layout: Layout, live: number) {
    this.#live = live;
    this.#layout = layout;
    this.#length = layout.length ?? PAGE;
    const [dev, region] = ['dev0', 2];
    const length = config.devices.get(dev)?.bars.get(region) as bigint;
    this.call({ do: 'iommufd_open', as: 'ctx0' });
    this.call({ do: 'ioas_alloc', ctx: 'ctx0', as: 'a0' });
    this.call({ do: 'vfio_open', dev });
    this.call({ do: 'vfio_bind', dev, ctx: 'ctx0' });
    this.call({ do: 'vfio_attach', dev, pt: 'a0' });
    for (let i = 0; i < layout.buffers; i++) {
      this.call({ do: 'vfio_export', dev, region, ranges: [[0n, length]], as: `b${i}` });
    }
    for (let k = 0; k < live; k++) this.map(k);
  }

  /** A batch of operations, each on some area; how many. */
  run(operate: Case['operate']): number {
    for (let i = 0; i < BATCH; i++) operate(this, this.#someArea());
    return BATCH;
  }

  iova(k: number): bigint {
    return (this.#layout.first ?? LOWEST) + BigInt(k) * this.#layout.stride;
  }

  map(k: number): void {
    this.call({ ...this.#mapCommand(k, this.#length), iova: this.iova(k) });
  }

  /** A new area on the buffer of area `k`, where it is told or wherever there is room; and it is gone again. */
  mapAndUnmap(k: number, iova: bigint | undefined, length = this.#length): void {
    const answer = this.call({ ...this.#mapCommand(k, length), ...(iova !== undefined && { iova }) });
    this.unmap(answer.iova as bigint, length);
  }

  unmap(iova: bigint, length: bigint): void {
    this.call({ do: 'ioas_unmap', ioas: 'a0', iova, length });
  }

  #mapCommand(k: number, length: bigint): Extract<Command, { do: 'ioas_map_file' }> {
    const start = BigInt(k % 64) * 2n * PAGE;
    return { do: 'ioas_map_file', ioas: 'a0', fd: `b${k % this.#layout.buffers}`, start, length, prot: 'rw' };
  }

  call(command: Command): Answer {
    const result = this.#machine.execute(command);
    this.#machine.takeCalls();
    if ('err' in result) throw new Error(`${command.do} is refused: ${result.err}`);
    return result.ok;
  }

  #someArea(): number {
    this.#random = (Math.imul(this.#random, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#random / 2 ** 32) * this.#live);
  }
}
