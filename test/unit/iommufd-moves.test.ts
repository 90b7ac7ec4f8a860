/**
 * A group of two devices among two IOASes and a domain made by hand: attach, replace and detach in every order, until
 * nothing new is reached. Both worlds agree after every step.
 *
 * Source: iommufd 1.5, 2.11, 2.12, I-60, I-61, I-64, I-79
 */
import { expect, test } from 'vitest';
import { MACHINES } from '../../properties/machines.ts';
import { walkCommands } from '../../properties/walk.ts';
import { newWorld, type World } from '../../properties/world.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

const CONFIG = MACHINES.get('a group') as MachineConfig;
const WINDOW = 0xfee0_0000n;

const open = (dev: string): Command[] => [
  { do: 'vfio_open', dev },
  { do: 'vfio_bind', dev, ctx: 'ctx' },
];
const map = (ioas: string, iova: bigint): Command => ({
  do: 'ioas_map',
  ioas,
  mem: 'm',
  offset: 0n,
  length: 0x2000n,
  prot: 'rw',
  iova,
});

/** `b` has an area that a device cannot be attached beside, until it is unmapped. */
const SETUP: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'a' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'b' },
  ...open('dev4'),
  ...open('dev5'),
  { do: 'mem_alloc', as: 'm', length: 0x4000n },
  { do: 'vfio_export', dev: 'dev4', region: 2, ranges: [[0n, 0x4000n]], as: 'buf' },
  map('a', 0x100_0000n),
  { do: 'ioas_copy', dst: 'b', src: 'a', src_iova: 0x100_1000n, length: 0x1000n, prot: 'rw', dst_iova: 0x200_0000n },
  { do: 'ioas_map_file', ioas: 'b', fd: 'buf', start: 0n, length: 0x4000n, prot: 'rw', iova: 0x300_0000n },
];

const MOVES: readonly Command[] = [
  ...['dev4', 'dev5'].flatMap((dev): Command[] => [
    ...['a', 'b', 'h'].map((pt): Command => ({ do: 'vfio_attach', dev, pt })),
    { do: 'vfio_detach', dev },
  ]),
  { do: 'hwpt_alloc', dev: 'dev4', ioas: 'a', as: 'h' },
  { do: 'destroy', obj: 'h' },
  map('b', WINDOW),
  { do: 'ioas_unmap', ioas: 'b', iova: WINDOW, length: 0x2000n },
];

/** What is reserved shows here, even where no move depends on it. */
const LOOK: readonly Command[] = [
  { do: 'ioas_iova_ranges', ioas: 'a' },
  { do: 'ioas_iova_ranges', ioas: 'b' },
];

const after = (moves: readonly Command[]): World =>
  walkCommands(newWorld(CONFIG, '7.2'), [...SETUP, ...moves, ...LOOK]);

/** What the next move may depend on. */
const keyOf = ({ state }: World): string =>
  JSON.stringify([
    state.devices.map(({ attached, domain }) => [attached, domain?.name]),
    state.ioases.map(({ domains, areas }) => [domains.length, areas.length]),
    state.handles.has('h'),
  ]);

test('attach, replace and detach of a group, in every order, move all of it and leave nothing behind', () => {
  const reached = new Map<string, readonly Command[]>([[keyOf(after([])), []]]);
  const answers = new Set<string>();
  let steps = 0;
  for (const moves of reached.values()) {
    for (const move of MOVES) {
      // A name that is taken would be given twice.
      if (
        move.do === 'hwpt_alloc' &&
        after(moves).state.ioases.some(({ domains }) => domains.some((it) => it.name === 'h'))
      )
        continue;
      const world = after([...moves, move]);
      const result = world.history.at(-1 - LOOK.length)?.result;
      answers.add(`${move.do} ${result && 'err' in result ? result.err : 'ok'}`);
      steps++;
      const key = keyOf(world);
      if (!reached.has(key)) reached.set(key, [...moves, move]);
      const [dev4, dev5] = ['dev4', 'dev5'].map((dev) => world.machine.domainOf(dev)?.name);
      expect(dev4).toBe(dev5);
    }
  }
  expect([...answers].sort()).toEqual([
    'destroy EBADF',
    'destroy EBUSY',
    'destroy ENOENT',
    'destroy ok',
    'hwpt_alloc ok',
    'ioas_map EEXIST',
    'ioas_map EINVAL',
    'ioas_map ok',
    'ioas_unmap ENOENT',
    'ioas_unmap ok',
    'vfio_attach EADDRINUSE',
    'vfio_attach EBADF',
    'vfio_attach EINVAL',
    'vfio_attach ENOENT',
    'vfio_attach ok',
    'vfio_detach ok',
  ]);
  // 7 places without `h` and 10 with it; 4 and 7 of them with the area in the way; and 11 again when `h` is gone.
  expect([reached.size, steps]).toEqual([39, 451]);
});
