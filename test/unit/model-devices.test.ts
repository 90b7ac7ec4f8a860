import { describe, expect, test } from 'vitest';
import { reaches } from '../../model/observe.ts';
import { initial, type State } from '../../model/spec.ts';
import type { Command, Handle, Slice } from '../../trace/command.ts';
import type { DeviceConfig, MachineConfig } from '../../trace/machine-config.ts';
import { answer, play } from './model-rig.ts';

const device = (group: number, more: Partial<DeviceConfig> = {}): DeviceConfig => {
  return { bars: new Map([[2, 0x100_0000n]]), group, bus: group, resets: ['bus'], ...more };
};
const machine: MachineConfig = {
  pageSize: 0x1000n,
  pageSizes: [0x1000n],
  aperture: [0n, 0xffff_ffff_ffffn],
  reserved: [],
  devices: new Map([
    ['dev0', device(0)],
    ['dev2', device(2)],
    ['dev3', device(3, { resets: ['flr', 'pm', 'bus'], hotResetErr: 'ENOTTY' })],
    ['dev4', device(4, { resets: [] })],
    ['dev5', device(4, { resets: [] })],
    ['dev6', device(6, { bus: 2 })],
  ]),
};

const open = (dev: Handle): Command => ({ do: 'vfio_open', dev });
const bind = (dev: Handle, ctx: Handle = 'ctx'): Command => ({ do: 'vfio_bind', dev, ctx });
const close = (dev: Handle): Command => ({ do: 'vfio_close', dev });
const memory = (dev: Handle, enable: boolean): Command => ({ do: 'vfio_memory', dev, enable });
const power = (dev: Handle, state: 0 | 3): Command => ({ do: 'vfio_power', dev, state });
const reset = (dev: Handle): Command => ({ do: 'vfio_reset', dev });
const flr = (dev: Handle): Command => ({ do: 'vfio_flr', dev });
const hotReset = (dev: Handle): Command => ({ do: 'vfio_hot_reset', dev });
const read = (iova: bigint): Command => ({ do: 'dma_read', dev: 'dev0', iova });
const exported = (dev: Handle, ranges: readonly Slice[], more: { region?: number; flags?: bigint } = {}): Command => {
  return { do: 'vfio_export', dev, region: 2, ranges, as: `b-${dev}`, ...more };
};
const map = (dev: Handle, iova: bigint, prot: 'rw' | 'w' = 'rw'): Command => {
  return { do: 'ioas_map_file', ioas: 'a', fd: `b-${dev}`, start: 0n, length: 0x1000n, prot, iova };
};

/** All devices are open, bound and have exported a page of their BAR, which is mapped at `at(dev)`; `dev0` looks on. */
const at = (dev: Handle): bigint => 0x100_0000n * BigInt(1 + Number(dev.slice(3)));
const start = (devices: readonly Handle[] = [...machine.devices.keys()]): State =>
  play(
    initial(machine),
    { do: 'iommufd_open', as: 'ctx' },
    { do: 'ioas_alloc', ctx: 'ctx', as: 'a' },
    ...devices.flatMap((dev) => [open(dev), bind(dev), exported(dev, [[0n, 0x1000n]]), map(dev, at(dev))]),
    { do: 'vfio_attach', dev: 'dev0', pt: 'a' },
  );
const reached = (s: State): string[] => reaches(s, 'dev0').map(([, target]) => target.slice(0, 4));
const without = (...devices: readonly Handle[]): Handle[] =>
  [...machine.devices.keys()].filter((dev) => !devices.includes(dev));
/** Whether a new mapping of the same buffer would succeed. */
const usable = (s: State, dev: Handle): boolean => typeof answer(s, map(dev, 0x5000_0000n)) === 'object';

describe('a revoke', () => {
  test.each([
    [memory('dev2', false), 'dev2', false],
    [power('dev3', 3), 'dev3', false],
    [reset('dev2'), 'dev2', true],
    [flr('dev3'), 'dev3', true],
    [hotReset('dev3'), 'dev3', true],
    [close('dev2'), 'dev2', false],
  ] as const)('by %o shoots the areas of %s, and no others; usable afterwards: %s', (command, dev, after) => {
    const s = play(start(), command);
    expect(reached(s)).toEqual(without(dev));
    expect(usable(s, dev)).toBe(after);
  });

  test('ends when its reason ends, and revives nothing', () => {
    const s = play(start(), memory('dev2', false), memory('dev2', true));
    expect(usable(s, 'dev2')).toBe(true);
    expect(reached(s)).toEqual(without('dev2'));
  });

  test('has no end while another reason is left', () => {
    const s = play(start(), memory('dev3', false), power('dev3', 3), power('dev3', 0));
    expect(usable(s, 'dev3')).toBe(false);
    expect(usable(play(s, power('dev3', 3), memory('dev3', true)), 'dev3')).toBe(false);
    expect(usable(play(s, memory('dev3', true)), 'dev3')).toBe(true);
  });

  test.each([reset('dev3'), flr('dev3'), hotReset('dev3')])(
    'of D3hot is ended by %o, which leaves the device in D0',
    (it) => {
      expect(usable(play(start(), power('dev3', 3), it), 'dev3')).toBe(true);
      expect(usable(play(start(), memory('dev3', false), it), 'dev3')).toBe(false);
    },
  );

  test('of a closed device is for ever, whoever opens it again', () => {
    const s = play(start(), close('dev2'), open('dev2'), bind('dev2'));
    expect(usable(s, 'dev2')).toBe(false);
    expect(usable(play(s, exported('dev2', [[0n, 0x1000n]])), 'dev2')).toBe(true);
  });

  test('leaves a mapping of enabled memory alone when memory is enabled once more', () => {
    expect(reached(play(start(), memory('dev2', true), power('dev3', 0)))).toEqual(without());
  });

  test('is there from birth when memory is off at the export', () => {
    const s = play(start(), memory('dev2', false), exported('dev2', [[0n, 0x1000n]]));
    expect(usable(s, 'dev2')).toBe(false);
    expect(usable(play(s, memory('dev2', true)), 'dev2')).toBe(true);
  });
});

describe('a reset', () => {
  test('answers EINVAL and does nothing when the device cannot do it, as a change of power does', () => {
    for (const command of [reset('dev4'), flr('dev0'), power('dev0', 3)]) {
      expect(answer(start(), command)).toBe('EINVAL');
      expect(reached(play(start(), command))).toEqual(without());
    }
  });

  test('of the bus takes back the memory of every function, opened or not', () => {
    expect(reached(play(start(), hotReset('dev4')))).toEqual(without('dev4', 'dev5'));
    expect(answer(play(start(without('dev5')), hotReset('dev4')), hotReset('dev4'))).toEqual({});
    expect(reached(play(start(), close('dev5'), hotReset('dev4')))).toEqual(without('dev4', 'dev5'));
  });

  test('of the bus that fails has taken the memory back all the same', () => {
    expect(answer(start(), hotReset('dev3'))).toBe('ENOTTY');
    expect(reached(play(start(), hotReset('dev3')))).toEqual(without('dev3'));
  });

  test('of a bus with a function of someone else stops there, when others are revoked already', () => {
    const s = play(start(without('dev6')), { do: 'iommufd_open', as: 'ctx2' }, open('dev6'), bind('dev6', 'ctx2'));
    expect(answer(s, hotReset('dev2'))).toBe('EINVAL');
    expect(reached(play(s, hotReset('dev2')))).toEqual(without('dev2', 'dev6'));
    expect(reached(play(s, hotReset('dev6')))).toEqual(without('dev6'));
  });
});

describe('a device', () => {
  test('answers EBADF while it is closed, and EINVAL until it is bound', () => {
    const closed = play(start(), close('dev3'));
    const commands = [memory('dev3', false), power('dev3', 0), reset('dev3'), flr('dev3'), hotReset('dev3')];
    for (const command of [...commands, exported('dev3', [[0n, 0x1000n]])]) {
      expect(answer(closed, command)).toBe('EBADF');
      expect(answer(play(closed, open('dev3')), command)).toBe('EINVAL');
    }
    expect(answer(closed, close('dev3'))).toBe('EBADF');
    expect(answer(start(), open('dev3'))).toBe('EBUSY');
  });

  test('reads what it reaches, if it may, and else has a fault', () => {
    const s = play(start(), map('dev2', 0x5000_0000n, 'w'));
    expect(answer(s, read(at('dev2') + 4n))).toEqual({ target: 'dev2:2+0x4' });
    expect(answer(s, read(0x5000_0000n))).toEqual({ fault: true });
    expect(answer(s, read(0n))).toEqual({ fault: true });
  });
});

describe('export', () => {
  test.each<[string | object, readonly Slice[]]>([
    [{}, [[0n, 0x100_0000n]]],
    [{}, [[0xff_f000n, 0x1000n]]],
    [
      {},
      [
        [0n, 0x1000n],
        [0n, 0x1000n],
      ],
    ],
    ['EINVAL', []],
    ['EINVAL', [[0xff_f000n, 0x2000n]]],
    ['EINVAL', [[0x100_0000n, 0x1000n]]],
    ['EINVAL', [[0x800n, 0x1000n]]],
    ['EINVAL', [[0n, 0x800n]]],
    ['EINVAL', [[0n, 0n]]],
    ['EOVERFLOW', [[0xffff_ffff_ffff_f000n, 0x1000n]]],
    ['EINVAL', [[0n, 0x8000_0000_0000_0000n]]],
    [
      'EINVAL',
      [
        [0x100_0000n, 0x1000n],
        [0xffff_ffff_ffff_f000n, 0x1000n],
      ],
    ],
    [
      'EINVAL',
      [
        [0xffff_ffff_ffff_f000n, 0x1000n],
        [0x800n, 0x1000n],
      ],
    ],
  ])('answers %o to %o', (expected, ranges) => {
    expect(answer(start(), exported('dev0', ranges))).toEqual(expected);
  });

  test('looks at flags before the region, and at the region before the ranges', () => {
    expect(answer(start(), exported('dev0', [[1n, 1n]], { region: 6, flags: 1n }))).toBe('EINVAL');
    expect(answer(start(), exported('dev0', [], { region: 6 }))).toBe('EINVAL');
    expect(answer(start(), exported('dev0', [[1n, 1n]], { region: 6 }))).toBe('ENODEV');
  });
});

describe('a descriptor', () => {
  test('is not the buffer: a duplicate still names it, and what it maps stays', () => {
    const s = play(start(), { do: 'fd_dup', fd: 'b-dev2', as: 'dup' }, { do: 'fd_close', fd: 'b-dev2' });
    expect(reached(s)).toEqual(without());
    expect(answer(s, { do: 'fd_close', fd: 'b-dev2' })).toBe('EBADF');
    expect(answer(s, { do: 'fd_dup', fd: 'b-dev2', as: 'x' })).toBe('EBADF');
    expect(answer(s, { do: 'fd_close', fd: 'dup' })).toEqual({});
  });
});

describe('memory', () => {
  test.each(['mem_alloc', 'memfd_create'] as const)('is given by %s from one byte to one GiB', (how) => {
    const alloc = (length: bigint): unknown => answer(start(), { do: how, as: 'm', length });
    expect([0n, 1n, 2n ** 30n, 2n ** 30n + 1n].map(alloc)).toEqual(['EINVAL', {}, {}, 'ENOMEM']);
  });
});
