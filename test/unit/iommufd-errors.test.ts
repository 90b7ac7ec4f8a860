/**
 * Which errno is reported first. Every row violates its own rule and all the later ones, as far as they can be violated
 * together, so no two checks can have changed places.
 */
import { describe, expect, test } from 'vitest';
import type { Errno } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, mapFileOf, Rig, removed, U64_MAX } from './iommufd-rig.ts';

type Args<D extends Command['do']> = Partial<Extract<Command, { do: D }>>;
type Rows<D extends Command['do']> = readonly (readonly [rule: string, args: Args<D>, errno: Errno])[];

const UNKNOWN_FLAG = 8n;
/** Where an area is already. */
const TAKEN = A;
/** A user address of 0, where nothing is mapped: `mem` plus this much wraps to it. */
const TO_ADDRESS_0 = 2n ** 64n - 0x7000_0000_0000n;

/** An IOAS of alignment 0x1000 with an area at A; an IOAS that is gone; a revoked buffer, and one in two ranges. */
function world(): Rig {
  const rig = new Rig();
  rig.export(
    'split',
    [
      [0n, 0x1000n],
      [0x2000n, 0x1000n],
    ],
    'dev1',
  );
  rig.export('live', [[0n, 0x4000n]], 'dev1');
  rig.must(
    { do: 'ioas_alloc', ctx: 'ctx', as: 'gone' },
    { do: 'destroy', obj: 'gone' },
    { do: 'mem_alloc', as: 'm', length: 0x4000n },
    { do: 'memfd_create', as: 'f', length: 0x4000n },
    { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' },
    { do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x4000n, prot: 'r', iova: TAKEN },
    { do: 'vfio_memory', dev: 'dev0', enable: false },
  );
  return rig;
}

const mapFile: Rows<'ioas_map_file'> = [
  ['unknown flag', { flags: UNKNOWN_FLAG, length: U64_MAX, iova: U64_MAX, prot: '', ioas: 'gone' }, 'EOPNOTSUPP'],
  ['flag that no int holds', { flags: 1n << 40n, length: U64_MAX, prot: '', ioas: 'gone' }, 'EOPNOTSUPP'],
  ['length of all', { length: U64_MAX, prot: '', ioas: 'gone' }, 'EOVERFLOW'],
  ['IOVA of the last byte', { iova: U64_MAX, prot: '', ioas: 'gone' }, 'EOVERFLOW'],
  ['no permission', { prot: '', ioas: 'gone', length: 0n }, 'EINVAL'],
  ['no IOAS', { ioas: 'gone', length: 0n, fd: 'none' }, 'ENOENT'],
  ['no length', { length: 0n, start: U64_MAX, fd: 'none' }, 'EINVAL'],
  ['offset and length wrap', { start: U64_MAX, length: 2n, fd: 'none' }, 'EOVERFLOW'],
  ['no file', { fd: 'none', start: U64_MAX, length: 1n }, 'EBADF'],
  ['longer than the buffer, by a byte', { length: 0x40_0001n, iova: 1n }, 'EINVAL'],
  ['end of the file at 2^64', { start: 2n, length: U64_MAX - 1n, iova: 1n }, 'EINVAL'],
  ['memfd up to 2^64, and an offset in its page', { fd: 'f', start: 2n, length: U64_MAX - 1n, iova: 1n }, 'EINVAL'],
  ['memfd and a length above 2^64 less a page', { fd: 'f', length: U64_MAX - 0xffen, iova: TAKEN }, 'EINVAL'],
  ['revoked buffer', { iova: 1n, length: 0x3fff_ffn }, 'ENODEV'],
  ['buffer in two ranges', { fd: 'split', length: 1n, iova: TAKEN }, 'EOPNOTSUPP'],
  ['length against the alignment', { fd: 'live', length: 0x800n, iova: 0x800n }, 'EINVAL'],
  ['occupied IOVA', { fd: 'live', iova: TAKEN, start: 0x800n, length: 0x1000n }, 'EEXIST'],
  ['offset against the alignment', { fd: 'live', start: 0x800n, length: 0x1000n, iova: 0n }, 'EINVAL'],
];

const map: Rows<'ioas_map'> = [
  ['unknown flag', { flags: UNKNOWN_FLAG, length: U64_MAX, prot: '', ioas: 'gone' }, 'EOPNOTSUPP'],
  ['length of all', { length: U64_MAX, prot: '', ioas: 'gone' }, 'EOVERFLOW'],
  ['no permission', { prot: '', ioas: 'gone', length: 0n }, 'EINVAL'],
  ['no IOAS', { ioas: 'gone', length: 0n }, 'ENOENT'],
  ['address and length wrap', { offset: TO_ADDRESS_0 - 1n, length: 0x1001n, iova: TAKEN }, 'EOVERFLOW'],
  ['address and length end at 2^64', { offset: TO_ADDRESS_0 - 0x1000n, length: 0x1000n, iova: TAKEN }, 'EOVERFLOW'],
  ['no length', { length: 0n, iova: TAKEN }, 'EINVAL'],
  ['length above 2^64 less a page', { offset: TO_ADDRESS_0, length: U64_MAX - 0xffen, iova: TAKEN }, 'EINVAL'],
  ['unaligned length', { length: 0x800n, iova: TAKEN }, 'EINVAL'],
  ['unaligned IOVA, which would wrap', { iova: U64_MAX - 0x7ffn, length: 0x1000n }, 'EINVAL'],
  ['IOVA and length wrap', { iova: U64_MAX - 0xfffn, length: 0x2000n }, 'EOVERFLOW'],
  ['reserved and occupied', { iova: TAKEN, length: 0x1_0000_0000n }, 'EINVAL'],
  ['occupied, and no such memory', { iova: TAKEN, offset: 0x10_0000n }, 'EEXIST'],
  ['unaligned address', { iova: 0n, offset: 0x10_0800n }, 'EINVAL'],
  ['unmapped memory', { iova: 0n, offset: 0x1000n }, 'EFAULT'],
];

const copy: Rows<'ioas_copy'> = [
  ['unknown flag', { flags: UNKNOWN_FLAG, length: U64_MAX, prot: '', src: 'gone' }, 'EOPNOTSUPP'],
  ['length of all', { length: U64_MAX, prot: '', src: 'gone' }, 'EOVERFLOW'],
  ['source at the last byte', { src_iova: U64_MAX, prot: '', src: 'gone' }, 'EOVERFLOW'],
  ['destination at the last byte', { dst_iova: U64_MAX, prot: '', src: 'gone' }, 'EOVERFLOW'],
  ['no permission', { prot: '', src: 'gone', length: 0n }, 'EINVAL'],
  ['no source', { src: 'gone', length: 0n, dst: 'gone' }, 'ENOENT'],
  ['no length', { length: 0n, dst: 'gone', src_iova: 0n }, 'EINVAL'],
  ['source wraps', { src_iova: U64_MAX - 1n, length: 3n, dst: 'gone' }, 'EOVERFLOW'],
  ['hole at the start of the source', { src_iova: A - 0x1000n, length: 0x2000n, dst_iova: 1n }, 'ENOENT'],
  ['hole at the end of the source', { src_iova: A + 0x3000n, length: 0x2000n, dst_iova: 1n }, 'ENOENT'],
  ['no destination', { dst: 'gone', length: 0x800n }, 'ENOENT'],
  ['unaligned length', { length: 0x800n, dst_iova: TAKEN, prot: 'w' }, 'EINVAL'],
  ['occupied destination', { dst_iova: TAKEN, prot: 'w' }, 'EEXIST'],
  ['more permission than the memory has', { prot: 'rw', src_iova: A + 0x800n }, 'EPERM'],
  ['source against the alignment', { src_iova: A + 0x800n }, 'EINVAL'],
];

const unmap: Rows<'ioas_unmap'> = [
  ['no IOAS', { ioas: 'gone', iova: U64_MAX, length: 0n }, 'ENOENT'],
  ['IOVA of the last byte', { iova: U64_MAX, length: 0n }, 'EOVERFLOW'],
  ['length of all, but not from 0', { iova: 1n, length: U64_MAX }, 'EOVERFLOW'],
  ['no length', { length: 0n }, 'EINVAL'],
  ['IOVA and length wrap', { iova: U64_MAX - 1n, length: 3n }, 'EOVERFLOW'],
  ['part of an area', { iova: A, length: 0x3fffn }, 'ENOENT'],
  ['nothing there', { iova: 0n, length: 0x1000n }, 'ENOENT'],
];

const live = { dst_iova: 0n, src_iova: A, length: 0x1000n, prot: 'r' } as const;

describe.each<[name: string, plain: Command, rows: readonly (readonly [rule: string, args: object, errno: Errno])[]]>([
  ['MAP_FILE (I-82)', mapFileOf(), mapFile],
  ['MAP (I-47)', { do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x4000n, prot: 'rw', iova: 0n }, map],
  ['COPY', { do: 'ioas_copy', dst: 'ioas', src: 'ioas', ...live }, copy],
  ['UNMAP', { do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x4000n }, unmap],
])('%s refuses, before it looks at the next,', (_, plain, rows) => {
  test.each(rows)('%s', (_, args, errno) => {
    const rig = world();
    const before = rig.state(['dev1']);
    expect(rig.do({ ...plain, ...args } as Command)).toEqual({ err: errno });
    expect(rig.state(['dev1'])).toEqual(before);
    rig.expectAtRest();
  });
});

test('a COPY of which the second piece is refused leaves no first piece', () => {
  const rig = world();
  rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'free' });
  for (const [iova, prot] of [
    [0n, 'rw'],
    [0x1000n, 'r'],
  ] as const)
    rig.map('m', 0x1000n, { ioas: 'free', iova, prot });
  const before = rig.state(['dev1'], ['ioas', 'free']);
  expect(rig.copy(0n, 0x2000n, { src: 'free', dst_iova: 0n })).toEqual({ err: 'EPERM' });
  expect(rig.state(['dev1'], ['ioas', 'free'])).toEqual(before);
  expect(rig.copy(0n, 0x2000n, { src: 'free', dst_iova: 0n, prot: 'r' })).toEqual(at(0n));
});

test('a fill comes last: MAP of memory that is not there fails only where a domain wants it', () => {
  const rig = world();
  rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'without' });
  const beyond = { offset: 0x10_0000n, iova: TAKEN };
  expect(rig.map('m', 0x1000n, { ...beyond, ioas: 'without' })).toEqual(at(TAKEN));
  expect(rig.attach('dev1', 'without')).toEqual({ err: 'EFAULT' });
  expect(rig.unmap(TAKEN, 0x1000n, 'without')).toEqual(removed(0x1000n));
  expect(rig.attach('dev1', 'without')).toEqual({ ok: {} });
});

test('MAP, COPY and MAP_FILE succeed for the last byte that they may have', () => {
  const rig = world();
  rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'free' });
  const top = U64_MAX - 0x3fffn;
  expect(rig.mapFile({ fd: 'live', ioas: 'free', start: 0n, length: 0x4000n, iova: top })).toEqual(at(top));
  expect(rig.map('m', 0x2000n, { ioas: 'free', iova: 0n, offset: TO_ADDRESS_0 - 0x2001n })).toEqual(at(0n));
  expect(rig.copy(top + 0x3ffen, 1n, { src: 'free', dst: 'free', dst_iova: U64_MAX - 0x4000n })).toEqual(
    at(U64_MAX - 0x4000n),
  );
  expect(rig.unmap(0n, U64_MAX, 'free')).toEqual(removed(0x6001n));
  expect(rig.unmap(0n, U64_MAX, 'free')).toEqual(removed(0n));
});
