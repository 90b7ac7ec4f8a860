/**
 * Structures as the user lays them out: little-endian fields at fixed offsets. A layout is data; reading and writing
 * go by it. What is 64 bits wide is exact.
 */
import type { Errno } from '../kernel/errno.ts';
import { PAGE_SIZE, type U64, type UserAddr, u64 } from '../kernel/units.ts';
import type { UserMemory } from './user-memory.ts';

/** A field of `width` bytes. */
export interface Field<W extends 2 | 4 | 8 = 2 | 4 | 8> {
  readonly offset: number;
  readonly width: W;
  readonly signed?: true;
}

export type Fields = Readonly<Record<string, Field>>;

export const u16 = (offset: number): Field<2> => ({ offset, width: 2 });
export const u32 = (offset: number): Field<4> => ({ offset, width: 4 });
export const s32 = (offset: number): Field<4> => ({ offset, width: 4, signed: true });
/** A 64-bit value. */
export const wide = (offset: number): Field<8> => ({ offset, width: 8 });

export interface Layout<F extends Fields = Fields> {
  readonly name: string;
  /** What the kernel knows of it, in bytes. */
  readonly size: number;
  /** The least that a user must give. */
  readonly min: number;
  readonly fields: F;
}

/** What the fields hold. */
export type Values<F extends Fields> = { readonly [K in keyof F]: Held<F[K]['width']> };
type Held<W> = W extends 8 ? U64 : number;

export const layout = <F extends Fields>(name: string, size: number, min: number, fields: F): Layout<F> => ({
  name,
  size,
  min,
  fields,
});

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

/** All fields, of a structure that lies at the start of `bytes`. */
export function decode<F extends Fields>({ fields }: Layout<F>, bytes: Uint8Array): Values<F> {
  const view = viewOf(bytes);
  const values: Record<string, number | U64> = {};
  for (const name in fields) values[name] = fieldIn(view, fields[name] as Field);
  return values as Values<F>;
}

function fieldIn(view: DataView, { offset, width, signed }: Field): number | U64 {
  switch (width) {
    case 2:
      return view.getUint16(offset, true);
    case 4:
      return signed ? view.getInt32(offset, true) : view.getUint32(offset, true);
    case 8: {
      const low = view.getUint32(offset, true);
      return u64(view.getUint32(offset + 4, true) * (2 ** 32 / PAGE_SIZE) + (low >>> 12), low & (PAGE_SIZE - 1));
    }
  }
}

/** Put some fields into a structure that lies at the start of `bytes`; the others keep what they have. */
export function encode<F extends Fields>({ fields }: Layout<F>, values: Partial<Values<F>>, bytes: Uint8Array): void {
  const view = viewOf(bytes);
  for (const name in values) {
    const value = values[name] as number | U64;
    const { offset, width } = fields[name] as Field;
    if (typeof value !== 'number') {
      view.setUint32(offset, (value.page % (2 ** 32 / PAGE_SIZE)) * PAGE_SIZE + value.byte, true);
      view.setUint32(offset + 4, Math.floor(value.page / (2 ** 32 / PAGE_SIZE)), true);
    } else if (width === 4) view.setUint32(offset, value, true);
    else view.setUint16(offset, value, true);
  }
}

/** get_user() of the first field of every structure: its size, as the user says. Fails: EFAULT */
export function sizeOf(memory: UserMemory, from: UserAddr): number | 'EFAULT' {
  const bytes = memory.read(from, 4);
  return typeof bytes === 'string' ? bytes : viewOf(bytes).getUint32(0, true);
}

/**
 * copy_struct_from_user(): the kernel's `size` bytes of a structure of which the user has `userSize`. What he does not
 * have is zero; what he has more must be zero.
 * Fails: E2BIG, EFAULT
 */
export function copyStruct(memory: UserMemory, from: UserAddr, size: number, userSize: number): Uint8Array | Errno {
  if (userSize > size) {
    const zero = memory.zeroed(after(from, size), userSize - size);
    if (zero !== true) return zero === false ? 'E2BIG' : zero;
  }
  const given = memory.read(from, Math.min(size, userSize));
  if (typeof given === 'string' || given.length === size) return given;
  const whole = new Uint8Array(size);
  whole.set(given);
  return whole;
}

/** The address `offset` bytes further; beyond the last there is nothing. */
export const after = ({ page, byte }: UserAddr, offset: number): UserAddr => {
  const at = byte + offset;
  const pages = Math.floor(at / PAGE_SIZE);
  return u64(page + pages, at - pages * PAGE_SIZE);
};
