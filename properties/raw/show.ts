/** Raw calls for a person: what was called, the bytes of its structure, and the answer. */
import type { RawCall } from './calls.ts';
import type { Answered } from './step.ts';

/** A call as it was made, and its answer, once there is one. */
export interface Made {
  readonly call: RawCall;
  answered?: Answered;
}

/** In words of 32 bits. */
const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/(.{8})(?!$)/g, '$1 ');

export function showCall({ call, answered }: Made): string {
  const { fd, number, value, bytes, writable } = call;
  const argument = value === undefined ? `${hex(bytes)}${writable ? '' : ' read-only'}` : `0x${value.toString(16)}`;
  const answer = answered === undefined ? 'did not return' : `${answered.called}: ${answered.answer}`;
  return `ioctl(${fd}, 0x${number.toString(16)}, ${argument})  ${answer}`;
}
