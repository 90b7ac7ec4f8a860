/** What kernels can do that let the CPU map dma-bufs, and what others answer (vfio-dmabuf 6.3 to 6.10). */
import { describe, expect, test } from 'vitest';
import { neverMappedWhileRevoked } from '../../model/invariants.ts';
import { observe, reaches } from '../../model/observe.ts';
import { type State, step } from '../../model/spec.ts';
import type { Command, Handle } from '../../trace/command.ts';
import { answer, play } from './model-rig.ts';
import { attach, BASE, machine, mapFile, mapUser, memory, start } from './model-scene.ts';

const mmap = (more: Partial<Extract<Command, { do: 'fd_mmap' }>> = {}): Command => {
  return { do: 'fd_mmap', fd: 'b0', offset: 0n, length: 0x2000n, as: 'v0', ...more };
};
const bar: Command = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0x1000n, length: 0x1000n, as: 'v1' };
const peek = (map: Handle = 'v0', offset = 0n): Command => ({ do: 'peek', map, offset });
const revoke = (fd: Handle = 'b0', dev: Handle = 'dev0'): Command => ({ do: 'vfio_dmabuf_revoke', dev, fd });
const memattr = (attr: number, fd: Handle = 'b0', dev: Handle = 'dev0'): Command => {
  return { do: 'vfio_dmabuf_memattr', dev, fd, attr };
};
const close: Command = { do: 'vfio_close', dev: 'dev0' };
const reset: Command = { do: 'vfio_reset', dev: 'dev0' };
const lowPower = (wakeup: boolean): Command => ({ do: 'vfio_low_power_entry', dev: 'dev0', wakeup });
const wake: Command = { do: 'vfio_wake', dev: 'dev0' };
const remap = mapFile({ iova: 5n * BASE });
const BUS = { signal: 'SIGBUS' };
const at = (offset: string): object => ({ value: `dev0:2+${offset}` });
const v4 = (...commands: readonly Command[]): State => play(start(machine, true), ...commands);
const test0: Command = { do: 'mock_dmabuf', length: 0x2000n, as: 'd0' };

describe('a CPU mapping of a dma-buf', () => {
  test.each<[string, unknown, State, Command]>([
    ['of nothing', 'EBADF', v4(), mmap({ fd: 'z' })],
    ['of no bytes', 'EINVAL', v4(), mmap({ length: 0n })],
    ['past the end of any file', 'EOVERFLOW', v4(), mmap({ offset: 2n ** 64n - 0x1000n })],
    ['past the end of the buffer', 'EINVAL', v4(memory(false)), mmap({ offset: 0x3000n })],
    ['to the end of the buffer', {}, v4(), mmap({ offset: 0x3000n, length: 1n })],
    ['of one that is revoked', 'ENODEV', v4(memory(false)), mmap()],
    ['of one that is revoked for good', 'ENODEV', v4(revoke(), memory(true)), mmap()],
    ['of one that is usable again', {}, v4(memory(false), memory(true)), mmap()],
    ['of one whose device is closed', 'ENODEV', v4(close), mmap()],
    ['of one of the test exporter', 'EINVAL', v4(test0), mmap({ fd: 'd0' })],
    ['where no kernel can', 'EINVAL', start(), mmap()],
  ])('%s: %j', (_, expected, s, command) => {
    expect(answer(s, command)).toEqual(expected);
  });

  test('is of its ranges, one behind the other', () => {
    const ranges = [
      [0x3000n, 0x1000n],
      [0x9000n, 0x2000n],
    ] as const;
    const s = v4({ do: 'vfio_export', dev: 'dev0', region: 2, ranges, as: 'b1' }, mmap({ fd: 'b1', length: 0x3000n }));
    const read = (offset: bigint) => answer(s, peek('v0', offset));
    expect([0xffcn, 0x1000n, 0x2ffcn, 0x3000n].map(read)).toEqual([at('0x3ffc'), at('0x9000'), at('0xaffc'), 'EFAULT']);
    const tail = play(s, mmap({ fd: 'b1', offset: 0x2000n, length: 0x1000n, as: 'v1' }));
    expect(answer(tail, peek('v1'))).toEqual(at('0xa000'));
    // Nobody asks user memory what it is made of, until it is to be pinned.
    const user = mapUser({ mem: 'v0', length: 0x1000n });
    expect([answer(s, user), answer(play(s, user), attach())]).toEqual([{ iova: BASE }, 'EFAULT']);
    expect(observe(s).cpu).toEqual([
      { map: 'v0', at: 0n, memory: 'dev0:2', offset: 0x3000n, length: 0x1000n },
      { map: 'v0', at: 0x1000n, memory: 'dev0:2', offset: 0x9000n, length: 0x2000n },
    ]);
  });

  test('faults while the buffer is revoked, and not afterwards', () => {
    const s = v4(mmap());
    expect(answer(s, peek())).toEqual(at('0x10000'));
    expect(answer(play(s, memory(false)), peek())).toEqual(BUS);
    expect(answer(play(s, memory(false), memory(true)), peek())).toEqual(at('0x10000'));
    expect(answer(play(s, reset), peek())).toEqual(at('0x10000'));
  });

  test('stays when the descriptor is closed, and does not keep the device open', () => {
    const s = v4(mmap(), { do: 'fd_close', fd: 'b0' });
    expect(answer(s, peek())).toEqual(at('0x10000'));
    expect(answer(play(s, close), peek())).toEqual(BUS);
    expect(answer(play(s, bar, close), peek())).toEqual(at('0x10000'));
    expect(answer(play(s, bar, close, { do: 'munmap', map: 'v1' }), peek())).toEqual(BUS);
    expect(answer(play(s, close), { do: 'munmap', map: 'v0' })).toEqual({});
  });

  test('of a BAR is a buffer, too: it stays lost when the device wakes up, unlike without', () => {
    const [woken, plain] = [v4(bar, lowPower(true), wake), play(start(), bar, lowPower(true), wake)];
    expect([answer(woken, peek('v1')), answer(plain, peek('v1'))]).toEqual([BUS, at('0x1000')]);
    const later = v4(lowPower(true), bar);
    expect(answer(later, peek('v1'))).toEqual(at('0x1000'));
    expect(answer(v4(lowPower(false), bar), peek('v1'))).toEqual(BUS);
  });
});

describe('a revoke for good', () => {
  test.each<[string, unknown, State, Command]>([
    ['by a closed device', 'EBADF', play(start(), close), revoke()],
    ['by a device that is not bound', 'EINVAL', v4(close, { do: 'vfio_open', dev: 'dev0' }), revoke()],
    ['where no kernel can', 'ENOTTY', start(), revoke('z')],
    ['of nothing', 'EBADF', v4(), revoke('z', 'dev1')],
    ['of a memfd', 'EINVAL', v4(), revoke('f0', 'dev1')],
    ['of another exporter', 'ENODEV', v4(test0), revoke('d0')],
    ['by another device', 'ENODEV', v4(revoke()), revoke('b0', 'dev1')],
    ['twice', 'EBADFD', v4(revoke()), revoke()],
    ['by a duplicate', 'EBADFD', v4({ do: 'fd_dup', fd: 'b0', as: 'd' }, revoke('d')), revoke()],
    ['of one that is usable', {}, v4(), revoke()],
    ['of one that is revoked already', {}, v4(memory(false)), revoke()],
    [
      'after the device was closed and opened again',
      'ENODEV',
      v4(close, { do: 'vfio_open', dev: 'dev0' }, { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' }),
      revoke(),
    ],
  ])('%s: %j', (_, expected, s, command) => {
    expect(answer(s, command)).toEqual(expected);
  });

  test('takes the buffer from devices and the CPU, and nothing brings it back', () => {
    const s = v4(mapFile(), attach(), mmap(), revoke());
    expect([reaches(s, 'dev1'), answer(s, peek()), answer(s, remap)]).toEqual([[], BUS, 'ENODEV']);
    for (const again of [reset, memory(true), { do: 'vfio_low_power_exit', dev: 'dev0' } as const]) {
      expect([answer(play(s, again), peek()), answer(play(s, again), remap)]).toEqual([BUS, 'ENODEV']);
    }
  });

  test('leaves other buffers of the same memory alone, and new ones', () => {
    const ranges = [[0x1_0000n, 0x4000n]] as const;
    const twin: Command = { do: 'vfio_export', dev: 'dev0', region: 2, ranges, as: 'b1' };
    for (const s of [v4(twin, revoke()), v4(revoke(), twin)]) {
      expect(answer(s, mapFile({ fd: 'b1' }))).toEqual({ iova: BASE });
      expect(observe(s).revoked).toEqual([]);
    }
  });

  test('shows when the CPU reaches the buffer nevertheless', () => {
    const [before, after] = [observe(v4(mmap())), observe(v4(mmap(), revoke()))];
    expect(after.cpu).toEqual([]);
    const stale = { ...after, cpu: before.cpu.map((pte) => ({ ...pte, shut: true })) };
    expect(neverMappedWhileRevoked.breaches(stale)).toEqual([
      { cpu: true, domain: 'v0', iova: 0n, why: 'shows dev0:2+0x10000, but its owner has taken it back' },
    ]);
  });
});

describe('how a buffer is mapped', () => {
  test('can be said in every state, and changes nothing that shows', () => {
    const states = [v4(), v4(memory(false)), v4(revoke())];
    for (const s of states)
      for (const attr of [0, 1]) expect(step(s, memattr(attr))).toMatchObject({ state: { ioases: s.ioases }, ok: {} });
  });

  test.each<[unknown, State, Command]>([
    ['ENOTTY', start(), memattr(7, 'z')],
    ['EBADF', v4(), memattr(7, 'z')],
    ['EINVAL', v4(), memattr(7, 'f0')],
    ['ENODEV', v4(), memattr(7, 'b0', 'dev1')],
    ['ENOENT', v4(), memattr(2)],
  ])('%s is the answer where it cannot', (expected, s, command) => {
    expect(answer(s, command)).toBe(expected);
  });
});
