/**
 * The values that traces are made of, as zod schemas: a codec reads the JSON form into the value that commands hold,
 * and writes it back. Every complaint is one sentence about the value, to be put behind the key that holds it.
 */
import * as z from 'zod';
import type { Errno } from './answer.ts';

/** A value as a complaint names it: short, on one line, whatever it is. */
export function brief(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}

type Complaint = { readonly error: (issue: z.core.$ZodRawIssue) => string };

/** The complaint of a schema about a value: that there is none, that it has a key too many, or `5 is not …`. */
export const is = (wrong: string): Complaint => ({
  error: (issue) => {
    if (issue.code === 'unrecognized_keys') return `unknown key ${brief(issue.keys[0])}`;
    if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? wrong;
    return issue.input === undefined ? 'missing' : `${brief(issue.input)} ${wrong}`;
  },
});

const notHex: Complaint = {
  error: (issue) => {
    const { input } = issue;
    const long = typeof input === 'string' && /^0x[1-9a-f][0-9a-f]{16,}$/.test(input);
    const wrong = long ? 'has more than 64 bits' : 'is not a lower-case hex number without leading zeros';
    return is(wrong).error(issue);
  },
};

const HEX = '0x(0|[1-9a-f][0-9a-f]{0,15})';
const NAME = '[A-Za-z_][A-Za-z0-9_.-]*';

export const hex = z
  .codec(z.string(notHex).regex(new RegExp(`^${HEX}$`), notHex), z.bigint(), {
    decode: (text) => BigInt(text),
    encode: (value) => `0x${value.toString(16)}`,
  })
  .meta({ id: 'hex', description: 'A 64-bit address, offset, length or flags: lower-case hex, no leading zeros.' });

export const count = z
  .int(is('is not a whole number'))
  .min(0, is('is negative'))
  .meta({ id: 'count', description: 'A small whole number: a BAR, a group, a place in a schedule.' });

const notHandle = is('is not a name: a letter, then letters, digits, "_", "." or "-"');

export const handle = z
  .string(notHandle)
  .regex(new RegExp(`^${NAME}$`), notHandle)
  .meta({ id: 'handle', description: 'A name that an earlier step gave with `as`, or a device.' });

/** Text for people, and names that nothing looks up. */
export const words = z.string(is('is not a string')).min(1, 'empty');

export const prot = z
  .enum(['rw', 'r', 'w', ''], is('is not one of "rw", "r", "w", ""'))
  .meta({ id: 'prot', description: 'Protection of a mapping.' });

const notTarget = is('is not a target: "dev0:2+0x1000", "m0+0x1000" or "?"');

export const target = z
  .string(notTarget)
  .regex(new RegExp(`^([?]|${NAME}(:[0-9]+)?[+]${HEX})$`), notTarget)
  .meta({
    id: 'target',
    description:
      'A byte of device memory ("dev0:2+0x1000"), of user memory, a memfd or a test dma-buf ("m0+0x0"), or "?".',
  });

// biome-ignore format: a table
const ERRNOS: { readonly [E in Errno]: E } = {
  EPERM: 'EPERM', ENOENT: 'ENOENT', EIO: 'EIO', ENXIO: 'ENXIO', E2BIG: 'E2BIG', EBADF: 'EBADF', ENOMEM: 'ENOMEM',
  EFAULT: 'EFAULT', EBUSY: 'EBUSY', EEXIST: 'EEXIST', ENODEV: 'ENODEV', EACCES: 'EACCES', EINVAL: 'EINVAL',
  EMFILE: 'EMFILE', ENOTTY: 'ENOTTY', ENOSPC: 'ENOSPC', ERANGE: 'ERANGE', EDEADLOCK: 'EDEADLOCK', EBADE: 'EBADE',
  EOVERFLOW: 'EOVERFLOW', EBADFD: 'EBADFD', EMSGSIZE: 'EMSGSIZE', EOPNOTSUPP: 'EOPNOTSUPP',
  EADDRINUSE: 'EADDRINUSE', EAGAIN: 'EAGAIN',
};

export const errno = z
  .enum(ERRNOS, is('is not an errno that steps answer with'))
  .meta({ id: 'errno', description: 'What a system call failed with.' });

export const interval = z
  .tuple([hex, hex], is('is not [first, last]'))
  .meta({ id: 'interval', description: 'An interval [first, last], its last byte included.' });

export const slice = z
  .tuple([hex, hex], is('is not [offset, length]'))
  .meta({ id: 'slice', description: 'A slice [offset, length] of a BAR.' });

export const list = <T extends z.ZodType>(of: T): z.ZodArray<T> => z.array(of, is('is not a list'));

export const object = <S extends z.core.$ZodLooseShape>(shape: S): z.ZodObject<S, z.core.$strict> =>
  z.strictObject<S>(shape, is('is not an object')) as z.ZodObject<S, z.core.$strict>;

/** A JSON object whose keys are data, as the map it stands for. */
export const mapOf = <V>(key: z.ZodType<string, string>, value: z.ZodType<V>): z.ZodType<ReadonlyMap<string, V>> =>
  z.codec(z.record(key, value, is('is not an object')), z.map(z.string(), z.custom<V>()), {
    decode: (record) => new Map(Object.entries(record)),
    encode: (map) => Object.fromEntries(map),
  });

/** Where a target lies: `"?"` and what is not a target give nothing. */
export function splitTarget(text: string): { of: string; bar?: number; offset: bigint } | undefined {
  const [place = '', offset] = text.split('+');
  if (offset === undefined) return undefined;
  const [of = '', bar] = place.split(':');
  return { of, offset: BigInt(offset), ...(bar !== undefined && { bar: Number(bar) }) };
}
