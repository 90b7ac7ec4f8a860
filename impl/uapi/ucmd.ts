/** An iommufd command on its way: the kernel's copy of its structure, and where the answer goes. */
import type { IommufdCtx } from '../iommufd/context.ts';
import type { Errno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import type { UserAddr } from '../kernel/units.ts';
import type { Caller } from './caller.ts';
import { decode, encode, type Fields, type Layout, type Values } from './layout.ts';

/** `iommufd_ucmd` */
export class Ucmd {
  readonly caller: Caller;
  readonly ctx: IommufdCtx;
  /** The whole structure; what the user did not give is zero. */
  readonly bytes: Uint8Array;
  readonly #pointer: UserAddr;
  readonly #userSize: number;

  constructor(caller: Caller, ctx: IommufdCtx, pointer: UserAddr, userSize: number, bytes: Uint8Array) {
    this.caller = caller;
    this.ctx = ctx;
    this.bytes = bytes;
    this.#pointer = pointer;
    this.#userSize = userSize;
  }

  /** iommufd_ucmd_respond(): the structure with these fields anew, as much of it as the user has. Fails: EFAULT */
  respond<F extends Fields>(layout: Layout<F>, values: Partial<Values<F>>): 'EFAULT' | undefined {
    encode(layout, values, this.bytes);
    const length = Math.min(this.#userSize, layout.size);
    return this.caller.memory.write(this.#pointer, this.bytes.subarray(0, length));
  }
}

/** A row of the table of commands. One that nobody carries out has no `carryOut`, and its number is nobody's. */
export interface Op {
  readonly number: number;
  readonly layout: Layout;
  readonly carryOut?: (cmd: Ucmd) => Thread<Errno | undefined>;
}

/** A row whose command is given the fields of its structure. */
export const op = <F extends Fields>(
  number: number,
  layout: Layout<F>,
  carryOut: (cmd: Ucmd, args: Values<F>) => Thread<Errno | undefined>,
): Op => ({ number, layout, carryOut: (cmd) => carryOut(cmd, decode(layout, cmd.bytes)) });
