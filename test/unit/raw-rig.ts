/** What the tests of raw system calls share: the machine of `Rig`, and a process that calls by bytes. */
import type { Errno } from '../../impl/kernel/errno.ts';
import { fromBigint, type U64 } from '../../impl/kernel/units.ts';
import { decode, encode, type Fields, type Layout, type Values } from '../../impl/uapi/layout.ts';
import { SystemCalls } from '../../impl/uapi/system-calls.ts';
import { CONFIG, Rig } from './iommufd-rig.ts';

/** Where the structure of a call lies, and an array if it has one. */
export const STRUCT: U64 = fromBigint(0x1_0000n);
export const ARRAY: U64 = fromBigint(0x2_0000n);

export const n = (value: bigint): U64 => fromBigint(value);

export interface How {
  /** What the first field says; the size of the structure, if nothing is said. */
  readonly size?: number;
  /** What lies behind the structure. */
  readonly tail?: readonly number[];
  /** How much of the structure is there at all. */
  readonly bytes?: number;
  readonly readOnly?: boolean;
  readonly array?: Uint8Array;
  readonly fd?: number;
}

export class RawRig extends Rig {
  readonly process: SystemCalls;

  constructor(config = CONFIG, kernel = '7.2') {
    super(config, kernel);
    this.process = new SystemCalls(this.machine);
  }

  get ctx(): number {
    return this.fd('ctx');
  }

  id(handle = 'ioas'): number {
    const named = this.machine.names.get(handle);
    return named?.kind === 'object' ? named.object.id : 0;
  }

  /** The number that the context gave a bound device. */
  devId(dev = 'dev0'): number {
    return this.machine.devices.get(dev)?.iommufdDevice?.id ?? 0;
  }

  /** ioctl(2) with a structure: its answer, and the structure afterwards. */
  raw<F extends Fields>(
    number: number,
    layout: Layout<F>,
    values: Partial<Values<F>>,
    { size = layout.size, tail = [], bytes, readOnly = false, array, fd = this.ctx }: How = {},
  ): { answer: number | Errno; out: Values<F>; tail: number[] } {
    const content = new Uint8Array(layout.size + tail.length);
    encode(layout, values, content);
    new DataView(content.buffer).setUint32(0, size, true);
    content.set(tail, layout.size);
    const there = bytes === undefined ? content : content.subarray(0, bytes);
    this.process.memory.clear();
    this.process.memory.map(STRUCT, there, !readOnly);
    if (array !== undefined) this.process.memory.map(ARRAY, array);
    const answer = this.process.ioctl(fd, number, STRUCT);
    return { answer, out: decode(layout, content), tail: [...content.subarray(layout.size)] };
  }

  /** ioctl(2) with a number. */
  value(number: number, value: bigint, fd: number = this.ctx): number | Errno {
    return this.process.ioctl(fd, number, fromBigint(value));
  }
}
