/** Bad calls out of good ones: sizes that lie, pointers to nowhere, other descriptors, other numbers, any bytes. */
import { encode, type Field } from '../../impl/uapi/layout.ts';
import { type CallName, layoutOf, type RawCall } from './calls.ts';
import type { Draw } from './draw.ts';
import type { RawWorld } from './world.ts';

type Way = (call: RawCall, name: CallName, draw: Draw, world: RawWorld) => RawCall;

/** The ways, of which each is as likely. */
const WAYS: readonly Way[] = [
  // A field says anything.
  anyField,
  anyField,
  anyField,
  // One bit is wrong.
  (call, _, draw) => changed(call, (bytes) => flip(bytes, draw.below(bytes.length * 8))),
  // Nothing but the size is right, or not even that.
  (call, _, draw) => changed(call, (bytes) => bytes.set(draw.bytes(bytes.length).subarray(4), 4)),
  (call, _, draw) => changed(call, (bytes) => bytes.set(draw.bytes(bytes.length))),
  anySize,
  anySize,
  // What there is of the structure ends too early.
  (call, _, draw) => ({ ...call, bytes: call.bytes.slice(0, draw.below(call.bytes.length + 1)) }),
  // The kernel may not write there.
  (call) => ({ ...call, writable: false }),
  (call) => ({ ...call, writable: false }),
  // It is all somewhere else, or nowhere.
  (call, _, draw) => ({ ...call, value: draw.oneIn(3) ? 0 : draw.word() }),
  // Another descriptor, open or not.
  (call, _, draw, world) => ({ ...call, fd: draw.pick(world.fds) ?? 0 }),
  (call, _, draw) => ({ ...call, fd: (draw.pick([-1, 0, 1, 2, 99, 2 ** 31 - 1]) as number) | 0 }),
  // Another number, of another kind of call or none.
  (call, _, draw) => ({ ...call, number: 0x3b60 + draw.below(0x48) }),
  (call, _, draw) => ({ ...call, number: (call.number ^ (1 << draw.below(32))) >>> 0 }),
  (call, _, draw) => ({ ...call, number: draw.word() }),
];

export const spoil: Way = (call, name, draw, world) => (draw.pick(WAYS) as Way)(call, name, draw, world);

function changed(call: RawCall, change: (bytes: Uint8Array) => void): RawCall {
  const bytes = call.bytes.slice();
  if (bytes.length > 0) change(bytes);
  return { ...call, bytes };
}

function flip(bytes: Uint8Array, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
}

function anyField(call: RawCall, name: CallName, draw: Draw): RawCall {
  const layout = layoutOf(name);
  const field = draw.pick(Object.keys(layout.fields).slice(1));
  const { width } = (field === undefined ? { width: 4 } : layout.fields[field]) as Field;
  if (field === undefined) return call;
  const small = draw.oneIn(2) ? draw.below(12) : draw.word();
  return changed(call, (bytes) => encode(layout, { [field]: width === 8 ? draw.number() : small }, bytes));
}

/** Less than there must be, or more than the kernel knows, with zeros behind it or with something. */
function anySize(call: RawCall, _: CallName, draw: Draw): RawCall {
  const { length } = call.bytes;
  const more = new Uint8Array(length + 8 + draw.below(16));
  more.set(call.bytes);
  if (draw.oneIn(3)) more[more.length - 1] = 1;
  const size = draw.pick([0, 4, length - 1, length, length + 1, more.length, more.length, more.length, 2 ** 32 - 1]);
  if (length >= 4) new DataView(more.buffer).setUint32(0, size as number, true);
  return { ...call, bytes: more };
}
