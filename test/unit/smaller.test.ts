/** What is tried when a failure is made smaller, with failures that are told from the commands alone. */
import { expect, test } from 'vitest';
import type { Program } from '../../properties/concurrent/program.ts';
import { MACHINES } from '../../properties/machines.ts';
import { commandsOf } from '../../properties/smaller/commands.ts';
import { smallest } from '../../properties/smaller/smallest.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { showCommand } from '../../trace/show.ts';

const config = MACHINES.get('two devices') as MachineConfig;
const of = (prefix: readonly Command[], ...branches: readonly (readonly Command[])[]): Program => ({
  config,
  kernel: '7.3',
  prefix,
  branches,
});

const ctx: Command = { do: 'iommufd_open', as: 'ctx0' };
const ioas = (as: string): Command => ({ do: 'ioas_alloc', ctx: 'ctx0', as });
const attach = (dev: string, pt: string): Command => ({ do: 'vfio_attach', dev, pt });
const map = (ioas: string, fd: string, iova: bigint, length = 0x1000n, start = 0n): Command => ({
  do: 'ioas_map_file',
  ioas,
  fd,
  start,
  length,
  prot: 'rw',
  iova,
});
const memfd = (as: string, length = 0x1000n): Command => ({ do: 'memfd_create', as, length });

/** The smallest, told; it fails when all that is asked for is true of its commands. */
function shown(program: Program, ...asked: readonly ((all: readonly Command[]) => boolean)[]): string[] {
  const { prefix, branches } = smallest(program, (one) => asked.every((is) => is(commandsOf(one))));
  const lines = (all: readonly Command[]): string[] => all.map(showCommand);
  return [...lines(prefix), ...branches.flatMap((branch) => ['and', ...lines(branch)])];
}

const some =
  (test: (command: Command) => boolean) =>
  (all: readonly Command[]): boolean =>
    all.some(test);
const does = (what: Command['do']) => some((command) => command.do === what);

test('a command goes with what uses what it gives, in every branch, and a branch that is left empty is none', () => {
  const program = of(
    [ctx, ioas('a0'), memfd('f0'), map('a0', 'f0', 0x100_0000n)],
    [attach('dev0', 'a0'), { do: 'destroy', obj: 'a0' }],
    [{ do: 'fork', as: 'p0.2.1' }],
  );
  const { prefix, branches } = smallest(program, (one) => one.branches.length > 0 && does('fork')(commandsOf(one)));
  expect([prefix, branches]).toEqual([[], [[{ do: 'fork', as: 'p0' }]]]);
});

test('what another still gives is not lost with one that gave it, too', () => {
  const program = of([ctx, ioas('a0'), ioas('a0'), attach('dev0', 'a0')]);
  expect(shown(program, does('vfio_attach'))).toEqual([
    'open iommufd ctx0',
    'alloc IOAS a0 in ctx0',
    'attach dev0 to a0',
  ]);
});

test('one thing does where there were two of a kind, and the first device for another', () => {
  const program = of([
    ctx,
    ioas('a0'),
    ioas('a1'),
    attach('dev0', 'a0'),
    attach('dev3', 'a1'),
    { do: 'fork', as: 'p' },
  ]);
  const attached = (all: readonly Command[]): boolean => all.filter((one) => one.do === 'vfio_attach').length === 2;
  expect(shown(program, attached)).toEqual([
    'open iommufd ctx0',
    'alloc IOAS a0 in ctx0',
    'attach dev0 to a0',
    'attach dev0 to a0',
  ]);
});

test('a command does without flags, odd rights, a second range and half a mapping', () => {
  const program = of([
    {
      do: 'vfio_export',
      dev: 'dev0',
      region: 2,
      ranges: [
        [0n, 0x1000n],
        [0x4000n, 0x3000n],
      ],
      as: 'b0',
      flags: 2n,
    },
    { ...map('a', 'b0', 0x100_0000n), prot: 'w', flags: 8n } as Command,
    { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x2000n, as: 'v0' },
    { do: 'munmap', map: 'v0', offset: 0x1000n, length: 0x1000n, process: 'p0' },
  ]);
  expect(shown(program, does('ioas_map_file'), does('munmap'))).toEqual([
    'export dev0:2+0x0 length 0x0 as b0',
    'map b0+0x0 length 0x0 at 0x1000000 in a',
    'mmap dev0:2+0x0 length 0x0 as v0',
    'munmap v0',
  ]);
});

test('a number that is meant in several places goes down in all of them', () => {
  const program = of([
    memfd('f0', 0x8000n),
    map('a', 'f0', 0x7abc_d000n, 0x3800n, 0x2000n),
    { do: 'ioas_unmap', ioas: 'a', iova: 0x7abc_d000n, length: 0x3800n },
  ]);
  const fits = ([, mapped, unmapped]: readonly Command[]): boolean =>
    mapped?.do === 'ioas_map_file' &&
    unmapped?.do === 'ioas_unmap' &&
    mapped.iova === unmapped.iova &&
    mapped.length === unmapped.length &&
    mapped.length > 0x1000n;
  expect(shown(program, fits)).toEqual([
    'create memfd f0 length 0x0',
    'map f0+0x0 length 0x2000 at 0x1000000 in a',
    'unmap 0x1000000 length 0x2000 in a',
  ]);
});

test('what need not be done at once is done before', () => {
  const program = of(
    [ctx],
    [ioas('a0.1.1'), attach('dev0', 'a0.1.1')],
    [memfd('f0.2.1')],
    [{ do: 'fork', as: 'p0.3.1' }],
  );
  const { prefix, branches } = smallest(program, (one) => commandsOf(one).length === 5 && one.branches.length > 1);
  expect(prefix.map(showCommand)).toEqual(['open iommufd ctx0', 'alloc IOAS a0 in ctx0', 'attach dev0 to a0']);
  expect(branches.map((branch) => branch.map(showCommand))).toEqual([['create memfd f0 length 0x0'], ['fork p0']]);
});

test('a BAR that is exported whole, and an unmap of everything, stay whole', () => {
  const program = of([
    { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x40_0000n]], as: 'b0' },
    { do: 'ioas_unmap', ioas: 'a', iova: 0n, length: 2n ** 64n - 1n },
  ]);
  expect(shown(program, does('vfio_export'), does('ioas_unmap'))).toEqual([
    'export dev0:2+0x0 length 0x400000 as b0',
    'unmap everything in a',
  ]);
});

test('devices that nobody names are not part of the machine, unless it fails without them', () => {
  const program = of([{ do: 'vfio_open', dev: 'dev3' }]);
  const devices = (needed: boolean): string[] => {
    const { config } = smallest(
      program,
      (one) => commandsOf(one).length > 0 && (!needed || one.config.devices.size > 1),
    );
    return [...config.devices.keys()];
  };
  expect([devices(false), devices(true)]).toEqual([['dev3'], ['dev0', 'dev3']]);
});

test('it ends, also where everything fails or nothing does', () => {
  const program = of([ctx, ioas('a0'), memfd('f0', 2n ** 63n), map('a0', 'f0', 2n ** 62n, 2n ** 61n)]);
  expect(smallest(program, () => false)).toBe(program);
  expect(commandsOf(smallest(program, () => true))).toEqual([]);
  let tried = 0;
  smallest(program, (one) => ++tried > 0 && commandsOf(one).length === 4);
  expect(tried).toBeLessThan(2000);
});
