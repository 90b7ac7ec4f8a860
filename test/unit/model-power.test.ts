/** Low power, and the corner cases in which a device answers while its buffers stay lost (vfio-dmabuf 2.9). */
import { describe, expect, test } from 'vitest';
import { reaches } from '../../model/observe.ts';
import type { State } from '../../model/spec.ts';
import type { Command } from '../../trace/command.ts';
import { answer, device, play } from './model-rig.ts';
import { attach, BASE, machine, mapFile, memory, start } from './model-scene.ts';

const enter = (wakeup?: boolean, dev = 'dev0'): Command => {
  return { do: 'vfio_low_power_entry', dev, ...(wakeup && { wakeup }) };
};
const exit: Command = { do: 'vfio_low_power_exit', dev: 'dev0' };
const wake: Command = { do: 'vfio_wake', dev: 'dev0' };
const power = (state: 0 | 3): Command => ({ do: 'vfio_power', dev: 'dev0', state });
const flr: Command = { do: 'vfio_flr', dev: 'dev0' };
const hotReset = (dev = 'dev0'): Command => ({ do: 'vfio_hot_reset', dev });
const exported: Command = { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x1000n]], as: 'b1' };
const mmap: Command = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'v0' };
const peek: Command = { do: 'peek', map: 'v0', offset: 0n };
const [BUS, AT] = [{ signal: 'SIGBUS' }, { value: 'dev0:2+0x0' }];

/** Two devices of one bus; the buffer `b0` of `dev0` is mapped, and reached by `dev1`. The CPU maps a page, too. */
const devices = new Map([
  ['dev0', device(0, { resets: ['flr', 'pm', 'bus'] })],
  ['dev1', device(1, { bus: 0 })],
]);
const scene = (...commands: readonly Command[]): State =>
  play(start({ ...machine, devices }), mapFile(), attach(), mmap, ...commands);
/** Whether the buffer can be mapped again. */
const usable = (s: State, fd = 'b0'): boolean =>
  typeof answer(s, mapFile({ fd, length: 0x1000n, iova: 5n * BASE })) === 'object';
const reached = (s: State): number => reaches(s, 'dev1').length;

describe('low power', () => {
  test('takes everything back on entry, and gives it again on exit, for new mappings', () => {
    expect([reached(scene()), usable(scene()), answer(scene(), peek)]).toEqual([1, true, AT]);
    expect([reached(scene(enter())), usable(scene(enter())), answer(scene(enter()), peek)]).toEqual([0, false, BUS]);
    const after = scene(enter(), exit);
    expect([reached(after), usable(after), answer(after, peek)]).toEqual([0, true, AT]);
    expect(answer(scene(), exit)).toEqual({});
  });

  test('gives nothing again on exit while memory is off', () => {
    expect(usable(scene(memory(false), enter(), exit))).toBe(false);
  });

  test('is there for the device that entered it, and for no other', () => {
    const s = scene(enter(false, 'dev1'));
    expect([usable(s), answer(s, peek), reached(s)]).toEqual([true, AT, 1]);
  });

  test('takes calls that wake the device: it stays, and so does what was taken back (C16)', () => {
    for (const call of [exported, mmap, attach('b', 'dev0'), wake] as const) {
      const s = scene(enter(), call);
      expect([usable(s), answer(s, peek)], call.do).toEqual([false, BUS]);
    }
  });

  test('lets the device sleep in D0, whatever was asked of it', () => {
    for (const s of [scene(power(3), enter(), exit), scene(enter(), power(3), exit)]) {
      expect([usable(s), answer(s, peek)]).toEqual([true, AT]);
    }
    expect(usable(scene(power(3), enter()))).toBe(false);
  });

  test('goes when the device is closed', () => {
    const close: Command = { do: 'vfio_close', dev: 'dev0' };
    const munmap: Command = { do: 'munmap', map: 'v0' };
    const open: Command = { do: 'vfio_open', dev: 'dev0' };
    const s = scene(enter(), close, munmap, open, { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' }, mmap, exported);
    expect([answer(s, peek), usable(s, 'b1'), usable(s)]).toEqual([AT, true, false]);
    expect(answer(scene(enter(), close), peek)).toEqual(BUS);
  });

  test('is nothing that a closed or unbound device can be asked for, but it wakes up', () => {
    const closed = scene({ do: 'vfio_close', dev: 'dev1' });
    const ask = enter(false, 'dev1');
    expect(answer(closed, ask)).toBe('EBADF');
    expect(answer(play(closed, { do: 'vfio_open', dev: 'dev1' }), ask)).toBe('EINVAL');
    expect(answer(closed, { do: 'vfio_wake', dev: 'dev1' })).toEqual({});
  });
});

describe('entered twice', () => {
  test('answers EINVAL, stays, and has taken back what was given meanwhile (C5)', () => {
    expect(answer(scene(enter()), enter())).toBe('EINVAL');
    expect(answer(scene(enter()), enter(true))).toBe('EINVAL');
    const s = scene(enter(), memory(true), enter());
    expect([usable(s), answer(s, peek), usable(play(s, exit))]).toEqual([false, BUS, true]);
  });

  test('answers ok where the call itself has woken the device', () => {
    expect(answer(scene(enter(true)), enter())).toEqual({});
    expect(answer(scene(enter(true), enter()), enter())).toBe('EINVAL');
  });
});

describe('low power until the device wakes up', () => {
  test.each([wake, exported, memory(false), attach('nothing', 'dev0'), attach('b', 'dev0'), mmap] as const)(
    'is over with %o',
    (call) => {
      // Only what touches no memory bit shows it; so give it back where it was lost.
      const s = play(scene(enter(true)), call);
      const over = s.devices.find(({ name }) => name === 'dev0')?.lowPower === undefined;
      expect(over).toBe(call.do !== 'vfio_attach' || call.pt === 'b');
    },
  );

  test('leaves what was taken back lost, although the CPU reaches the BAR again, until the exit (C4)', () => {
    const s = scene(enter(true), wake);
    expect([answer(s, peek), usable(s), usable(play(s, exit))]).toEqual([AT, false, true]);
  });

  test('is over by a call that is refused', () => {
    const s = scene(enter(true), { do: 'vfio_export', dev: 'dev0', region: 7, ranges: [[0n, 1n]], as: 'x' });
    expect(answer(s, peek)).toEqual(AT);
  });
});

describe('while low power is entered', () => {
  test('a write that leaves memory on makes buffers usable, and the CPU has a fault all the same (C1)', () => {
    const s = scene(enter(), memory(true));
    expect([usable(s), answer(s, peek)]).toEqual([true, BUS]);
  });

  test('a new buffer is born usable beside those that are lost, until all are lost again (C2)', () => {
    const s = scene(enter(), exported);
    expect([usable(s), usable(s, 'b1')]).toEqual([false, true]);
    const mapped = play(s, mapFile({ fd: 'b1', length: 0x1000n, iova: 3n * BASE }));
    expect(reached(mapped)).toBe(1);
    const again = play(mapped, enter());
    expect([usable(again), usable(again, 'b1'), reached(again)]).toEqual([false, false, 0]);
    expect([usable(play(again, exit)), usable(play(again, exit), 'b1')]).toEqual([true, true]);
  });

  test.each([{ do: 'vfio_reset', dev: 'dev0' } as const, flr, hotReset(), hotReset('dev1')])(
    '%o gives all of it again (C3)',
    (reset) => {
      const s = scene(enter(), reset);
      expect([usable(s), answer(s, peek)]).toEqual([true, BUS]);
    },
  );
});

describe('a hot reset', () => {
  test('wakes every device of the bus, also when it is refused then', () => {
    const foreign = new Map([...devices, ['dev2', device(2, { bus: 0 })]]);
    const s = play(start({ ...machine, devices: foreign }), mmap, enter(true));
    expect(answer(s, hotReset('dev1'))).toBe('EINVAL');
    expect(answer(play(s, hotReset('dev1')), peek)).toEqual(AT);
    expect(answer(scene(enter(true), hotReset('dev1')), peek)).toEqual(AT);
  });
});
