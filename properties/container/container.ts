/**
 * The property of a VFIO container: whatever sequence of maps, unmaps, cuts, attaches and detaches, the answers, what
 * is written back, and what the device reaches are those of a naive list of bytes.
 */
import * as fc from 'fast-check';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { bytes, fromBigint, toBigint } from '../../impl/kernel/units.ts';
import { Machine } from '../../impl/machine.ts';
import { decode } from '../../impl/uapi/layout.ts';
import { SystemCalls } from '../../impl/uapi/system-calls.ts';
import { DMA_UNMAP } from '../../impl/uapi/vfio-structs.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { showValue } from '../divergence.ts';
import { MACHINES } from '../machines.ts';
import { reachOf } from '../observe.ts';
import { callOf, type RawCall } from '../raw/calls.ts';
import { ARGUMENTS } from '../raw/world.ts';
import { type Area, Oracle, type Said } from './oracle.ts';

const P = 0x1000n;
const MAX = (1n << 64n) - 1n;
/** Everything happens in a small space, so that it meets. */
const BASE = 0x100_0000n;
const PAGES = 16n;

/** One step: numbers that the state gives a meaning. */
export interface Step {
  readonly what: 'map' | 'map file' | 'unmap dma' | 'unmap' | 'unmap all' | 'set iommu' | 'attach' | 'detach';
  /** Which area, or page of the space. */
  readonly at: number;
  readonly pages: number;
  readonly from: number;
  /** Below 4: off a page, and how; 4 and 5: an edge. */
  readonly odd: number;
  readonly prot: number;
}

const WEIGHTS: Readonly<Record<Step['what'], number>> = {
  'unmap dma': 8,
  map: 6,
  'map file': 3,
  unmap: 2,
  attach: 2,
  detach: 1,
  'set iommu': 2,
  'unmap all': 1,
};

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.oneof(
    ...Object.entries(WEIGHTS).map(([what, weight]) => ({ weight, arbitrary: fc.constant(what as Step['what']) })),
  ),
  at: fc.nat(31),
  pages: fc.nat(7),
  from: fc.nat(7),
  odd: fc.nat(40),
  prot: fc.nat(12),
});

/** Where the oracle and the implementation differ, with all that was done before. */
export class ContainerBreach extends Error {}

const SETUP: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'ioas' },
  { do: 'vfio_open', dev: 'dev0' },
  { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' },
  { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 8n * P]], as: 'buf' },
  { do: 'mem_alloc', as: 'm', length: 8n * P },
];

class Container {
  readonly machine: Machine;
  readonly oracle: Oracle;
  readonly history: string[] = [];
  readonly #calls: SystemCalls;
  readonly #fd: number;
  readonly #memory: bigint;

  constructor(config: MachineConfig, version: number) {
    this.machine = new Machine(config, '7.3');
    this.oracle = new Oracle(config);
    this.#calls = new SystemCalls(this.machine);
    for (const command of SETUP) this.machine.execute(command);
    this.#fd = this.#fdOf('ctx');
    const named = this.machine.names.get('m');
    this.#memory = named?.kind === 'mem' ? toBigint(named.address) : 0n;
    this.#call(callOf('VFIO_IOAS', this.#fd, { op: 1, ioas_id: 1 }));
    this.history.push(`SET_IOMMU ${version}`);
    this.#call({ ...callOf('SET_IOMMU', this.#fd), value: version });
    this.oracle.setIommu(version);
  }

  /** Both do it, and must say and show the same. Fails with a ContainerBreach. */
  take(it: Step): void {
    const { expected, got, shown } = this.#both(it);
    this.history.push(`${shown}: ${got.answer}${got.size === undefined ? '' : `, 0x${got.size.toString(16)}`}`);
    const reach = showValue(reachOf(this.machine, 'dev0'));
    const promised = showValue(this.oracle.reach);
    const wrong = [
      ...(showValue(expected) === showValue(got) ? [] : [`expected ${showValue(expected)}, got ${showValue(got)}`]),
      ...(reach === promised ? [] : [`dev0 should reach ${promised}, and reaches ${reach}`]),
      ...this.machine.audit(),
    ];
    if (wrong.length > 0) throw new ContainerBreach([...this.history, ...wrong].join('\n'));
  }

  #both(it: Step): { expected: Said; got: Said; shown: string } {
    const { oracle } = this;
    switch (it.what) {
      case 'map':
      case 'map file':
        return this.#map(it);
      case 'set iommu': {
        const type = it.odd < 4 ? it.odd : it.at % 2 === 0 ? 1 : 3;
        const got = { answer: this.#call({ ...callOf('SET_IOMMU', this.#fd), value: type }) };
        return { expected: oracle.setIommu(type), got, shown: `SET_IOMMU ${type}` };
      }
      case 'attach':
      case 'detach': {
        const command: Command =
          it.what === 'attach' ? { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' } : { do: 'vfio_detach', dev: 'dev0' };
        const result = this.machine.execute(command);
        const got: Said = { answer: 'err' in result ? result.err : 0 };
        return { expected: it.what === 'attach' ? oracle.attach() : oracle.detach(), got, shown: it.what };
      }
      default:
        return this.#unmap(it);
    }
  }

  #map(it: Step): { expected: Said; got: Said; shown: string } {
    const file = it.what === 'map file';
    const { iova, length } = this.#range(it, undefined);
    const offset = BigInt(it.from) * P + (it.odd === 6 ? 0x800n : 0n);
    // Numbers that a mapping of a file refuses for themselves are not of interest here.
    const size = file && (it.odd === 4 || it.odd === 5) ? P : length;
    const prot = (['rw', 'rw', 'rw', 'r', 'w', ''] as const)[it.prot] ?? 'rw';
    const area: Area = {
      first: iova,
      last: iova + size - 1n,
      memory: file ? 'dev0:2' : 'm',
      offset,
      within: offset % P,
      end: 8n * P,
      prot: file ? 'rw' : prot,
      cuttable: !file,
    };
    const shown = `${it.what} ${area.memory}+0x${offset.toString(16)} 0x${size.toString(16)} at 0x${iova.toString(16)}`;
    const got = file
      ? callOf('IOAS_MAP_FILE', this.#fd, {
          flags: 7,
          ioas_id: 1,
          fd: this.#fdOf('buf'),
          ...u64s({ start: offset, length: size, iova }),
        })
      : callOf('IOMMU_MAP_DMA', this.#fd, {
          flags: (prot.includes('r') ? 1 : 0) + (prot.includes('w') ? 2 : 0),
          ...u64s({ vaddr: this.#memory + offset, iova, size }),
        });
    const expected = file ? this.oracle.mapFile(area, size) : this.oracle.mapDma(area, size, this.#memory + offset);
    return { expected, got: { answer: this.#call(got) }, shown: `${shown} ${area.prot}` };
  }

  #unmap(it: Step): { expected: Said; got: Said; shown: string } {
    const { oracle } = this;
    const all = it.what === 'unmap all';
    const areas = oracle.areas;
    const area = it.prot < 10 && areas.length > 0 ? areas[it.at % areas.length] : undefined;
    const { iova, length } = all && it.odd >= 8 ? { iova: 0n, length: 0n } : this.#range(it, area);
    const shown = `${it.what} 0x${length.toString(16)} at 0x${iova.toString(16)}`;
    if (it.what === 'unmap') {
      // What wraps, or is nothing, is refused elsewhere.
      const size = length === 0n || iova + length - 1n > MAX || length === MAX || iova === MAX ? P : length;
      const at = iova + size - 1n > MAX ? BASE : iova;
      const call = callOf('IOAS_UNMAP', this.#fd, { ioas_id: 1, ...u64s({ iova: at, length: size }) });
      const answer = this.#call(call);
      const removed = new DataView(call.bytes.buffer).getBigUint64(16, true);
      return { expected: oracle.unmap(at, size), got: { answer, ...(answer === 0 && { size: removed }) }, shown };
    }
    const call = callOf('IOMMU_UNMAP_DMA', this.#fd, { flags: all ? 2 : 0, ...u64s({ iova, size: length }) });
    const expected = oracle.unmapDma(all, iova, length);
    const answer = this.#call(call);
    const size = toBigint(decode(DMA_UNMAP, call.bytes).size);
    // Where nothing is written back, what was asked for still stands there.
    return { expected: { answer: expected.answer, size: expected.size ?? length }, got: { answer, size }, shown };
  }

  /** An area or a part of it, or anything else; mostly whole pages. */
  #range(it: Step, area: Area | undefined): { iova: bigint; length: bigint } {
    const off = [1n, 0x7ffn, 0x800n, 0xfffn][it.odd] ?? 0n;
    const first = area === undefined ? BASE + (BigInt(it.at) % PAGES) * P : area.first;
    const whole = area === undefined ? BigInt(it.pages) * P : area.last - area.first + 1n;
    if (it.odd === 4) return { iova: MAX - 0xfffn, length: BigInt(it.pages + 1) * P };
    if (it.odd === 5) return { iova: first, length: [0n, MAX, MAX - P, 1n << 63n][it.from % 4] as bigint };
    if (area !== undefined && it.prot < 4) return { iova: first, length: whole };
    const from = area === undefined ? 0n : (BigInt(it.from) * P) % whole;
    const length = area === undefined ? whole : BigInt(1 + it.pages) * P;
    return it.odd % 2 === 0 ? { iova: first + from + off, length } : { iova: first + from, length: length + off };
  }

  #call(call: RawCall): 0 | Errno {
    const { memory } = this.#calls;
    memory.clear();
    memory.map(ARGUMENTS, call.bytes);
    const answer = this.#calls.ioctl(call.fd, call.number, call.value === undefined ? ARGUMENTS : bytes(call.value));
    return isErrno(answer) ? answer : 0;
  }

  #fdOf(name: string): number {
    const named = this.machine.names.get(name);
    return named !== undefined && 'fd' in named ? named.fd : -1;
  }
}

const u64s = <K extends string>(values: Readonly<Record<K, bigint>>): Record<K, ReturnType<typeof fromBigint>> =>
  Object.fromEntries(
    Object.entries<bigint>(values).map(([name, value]) => [name, fromBigint(BigInt.asUintN(64, value))]),
  ) as never;

/** Run sequences on machines whose domains have whole pages, and smaller ones. What was met; fails as fast-check. */
export function checkContainer(seed: number, runs: number): Map<string, number> {
  const met = new Map<string, number>();
  const configs = ['two devices', 'small pages'].map((name) => MACHINES.get(name) as MachineConfig);
  const cases = fc.record({
    config: fc.constantFrom(...configs),
    version: fc.constantFrom(0, 1, 3),
    steps: fc.array(step, { maxLength: 60, size: 'max' }),
  });
  fc.assert(
    fc.property(cases, ({ config, version, steps }) => {
      const container = new Container(config, version);
      for (const it of steps) container.take(it);
      for (const [what, times] of container.oracle.met) met.set(what, (met.get(what) ?? 0) + times);
    }),
    { seed, numRuns: runs },
  );
  return met;
}
