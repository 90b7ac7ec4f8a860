/**
 * The table of a buffer's states against the documented one, cell by cell, in the engine that runs it.
 *
 * Source: vfio-dmabuf 2.7, 6.7, V-52 to V-55, V-63, V-64
 */
import { describe, expect, test, vi } from 'vitest';
import { USAGE } from '../../impl/dmabuf/resv.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { vfioConfigMemory, vfioDeviceReset, vfioRevokeForGood } from '../../impl/vfio/ioctl.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import { EVENTS, type Event, STATES, type State, TABLE, transitionOf } from '../../impl/vfio/pci-dmabuf-status.ts';
import { page } from './permanent-revoke-page.ts';
import { mapBuffer, process } from './vfio-mapping.ts';
import type { Exported, Importer } from './vfio-rig.ts';
import { V4, V4Rig } from './vfio-v4.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

test('docs/permanent-revoke.md is the table as it is', async () => {
  await expect(page()).toMatchFileSnapshot('../../docs/permanent-revoke.md');
});

/** A buffer with an importer and a touched mapping, brought into a state. */
class World extends V4Rig {
  readonly buffer: Exported = this.exported(this.dev);
  readonly importer: Importer = this.attach(this.buffer);
  readonly mapping = this.mapBuf(this.buffer);
  readonly priv: VfioPciDmaBuf = this.buffer.priv;

  constructor(state: State) {
    super();
    this.mapping.touch();
    if (state === 'TEMP_REVOKED') this.cmdMem(false);
    if (state === 'PERM_REVOKED') this.revokePerm(this.buffer);
    if (state === 'CLOSED') this.close(this.dev);
    if (this.priv.state !== state) throw new Error(`the buffer is ${this.priv.state}`);
    this.importer.calls = 0;
  }

  /** What each event answers. */
  do(event: Event): string {
    const { dmabuf, fd } = this.buffer;
    switch (event) {
      case 'move(true)':
        return this.cmdMem(false) ?? 'ok';
      case 'move(false)':
        return this.cmdMem(true) ?? 'ok';
      case 'forget':
        this.close(this.dev);
        return 'ok';
      case 'DMA_BUF_REVOKE':
        // Once its device has closed, another one has to ask.
        return (
          this.revokePerm({ fd }, this.dev.vconfig === undefined ? this.opened({ name: 'other' }) : this.dev) ?? 'ok'
        );
      case 'import': {
        const table = this.map(this.importer);
        if (isErrno(table)) return table;
        this.unmap(this.importer, table);
        return 'ok';
      }
      case 'mmap': {
        const vma = this.call(mapBuffer(dmabuf, process()));
        return isErrno(vma) ? vma : 'ok';
      }
      case 'touch':
        return this.mapping.touch() === 'SIGBUS' ? 'SIGBUS' : 'ok';
      default:
        return event satisfies never;
    }
  }
}

/** State, event: what it answers, the next state, whether the importer was called, what token there is. */
const ROWS: readonly (readonly [State, Event, answer: string, next: State, called: boolean])[] = [
  ['OK', 'move(true)', 'ok', 'TEMP_REVOKED', true],
  ['OK', 'move(false)', 'ok', 'OK', false],
  ['OK', 'DMA_BUF_REVOKE', 'ok', 'PERM_REVOKED', true],
  ['OK', 'forget', 'ok', 'CLOSED', true],
  ['OK', 'import', 'ok', 'OK', false],
  ['OK', 'mmap', 'ok', 'OK', false],
  ['OK', 'touch', 'ok', 'OK', false],
  ['TEMP_REVOKED', 'move(true)', 'ok', 'TEMP_REVOKED', false],
  ['TEMP_REVOKED', 'move(false)', 'ok', 'OK', false],
  ['TEMP_REVOKED', 'DMA_BUF_REVOKE', 'ok', 'PERM_REVOKED', false],
  ['TEMP_REVOKED', 'forget', 'ok', 'CLOSED', false],
  ['TEMP_REVOKED', 'import', 'ENODEV', 'TEMP_REVOKED', false],
  ['TEMP_REVOKED', 'mmap', 'ENODEV', 'TEMP_REVOKED', false],
  ['TEMP_REVOKED', 'touch', 'SIGBUS', 'TEMP_REVOKED', false],
  ['PERM_REVOKED', 'move(true)', 'ok', 'PERM_REVOKED', false],
  ['PERM_REVOKED', 'move(false)', 'ok', 'PERM_REVOKED', false],
  ['PERM_REVOKED', 'DMA_BUF_REVOKE', 'EBADFD', 'PERM_REVOKED', false],
  ['PERM_REVOKED', 'forget', 'ok', 'CLOSED', false],
  ['PERM_REVOKED', 'import', 'ENODEV', 'PERM_REVOKED', false],
  ['PERM_REVOKED', 'mmap', 'ENODEV', 'PERM_REVOKED', false],
  ['PERM_REVOKED', 'touch', 'SIGBUS', 'PERM_REVOKED', false],
  ['CLOSED', 'DMA_BUF_REVOKE', 'ENODEV', 'CLOSED', false],
  ['CLOSED', 'import', 'ENODEV', 'CLOSED', false],
  ['CLOSED', 'mmap', 'ENODEV', 'CLOSED', false],
  ['CLOSED', 'touch', 'SIGBUS', 'CLOSED', false],
];

test.each(ROWS)('a buffer that is %s, at %s: %s, and is %s', (from, event, answer, next, called) => {
  const world = new World(from);
  expect([world.do(event), world.priv.state, world.importer.calls]).toEqual([answer, next, called ? 1 : 0]);
  expect(world.priv.kref.count).toBe(1);
  expect(world.mapping.reached.length).toBe(next === 'OK' && !(from === 'TEMP_REVOKED') ? 1 : 0);
});

test('the documented table has every state and event but those that cannot come', () => {
  const pairs = STATES.flatMap((state) => EVENTS.map((event) => `${state} ${event}`));
  const documented = new Set(ROWS.map(([state, event]) => `${state} ${event}`));
  expect(pairs.filter((pair) => !documented.has(pair))).toEqual([
    'CLOSED move(true)',
    'CLOSED move(false)',
    'CLOSED forget',
  ]);
  for (const event of ['move(true)', 'move(false)', 'forget'] as const) {
    expect(() => transitionOf('CLOSED', event)).toThrow(Splat);
  }
  // A close does move(true) first.
  expect(() => transitionOf('OK', 'forget')).toThrow(Splat);
});

test('what waits does so in one way: importers, fences, DMA maps, the CPU, and a new token', () => {
  const waits = STATES.flatMap((state) => EVENTS.map((event) => TABLE[state][event]))
    .filter((it) => it !== undefined)
    .filter(({ held, after }) => held.length + after.length > 0);
  expect(waits.map(({ next }) => next)).toEqual(['TEMP_REVOKED', 'PERM_REVOKED']);
  for (const { held, after } of waits) {
    expect([held, after]).toEqual([
      ['invalidate', 'wait for fences'],
      ['drain', 'zap', 're-arm'],
    ]);
  }
});

test('no state leads out of PERM_REVOKED but the close, and none out of CLOSED', () => {
  const from = (state: State): State[] => EVENTS.flatMap((event) => TABLE[state][event]?.next ?? []);
  expect([new Set(from('PERM_REVOKED')), new Set(from('CLOSED'))]).toEqual([
    new Set(['PERM_REVOKED', 'CLOSED']),
    new Set(['CLOSED']),
  ]);
});

describe('a revoke for good', () => {
  test.each<[what: string, act: (rig: World) => void]>([
    ['memory off and on', (rig) => [rig.cmdMem(false), rig.cmdMem(true)]],
    ['a reset', (rig) => rig.call(vfioDeviceReset(rig.dev))],
    ['memory off before, and on after', (rig) => rig.cmdMem(true)],
  ])('outlasts %s', (what, act) => {
    const rig = new World('OK');
    if (what.endsWith('after')) rig.cmdMem(false);
    rig.revokePerm(rig.buffer);
    act(rig);
    expect([rig.priv.status, rig.do('import'), rig.do('mmap'), rig.do('touch')]).toEqual([
      'PERM_REVOKED',
      'ENODEV',
      'ENODEV',
      'SIGBUS',
    ]);
  });

  test('waits for fences of every usage, then for DMA maps, then takes the entries of the CPU', () => {
    const rig = new World('OK');
    const table = rig.map(rig.importer);
    const fence = rig.fence(rig.buffer, USAGE.BOOKKEEP);
    const revoke = rig.actor('revoke', vfioRevokeForGood(rig.dev, rig.buffer.fd, rig.fds));
    const seen = () => [revoke.run(), rig.buffer.dmabuf.resv.locked, rig.mapping.reached.length];
    expect(seen()).toEqual([false, true, 1]);
    fence.signal();
    expect(seen()).toEqual([false, false, 1]);
    rig.unmap(rig.importer, table);
    expect([seen(), revoke.answer]).toEqual([[true, false, 0], undefined]);
  });

  test('of a buffer that is revoked for now waits for nothing, and leaves the token alone', () => {
    const rig = new World('TEMP_REVOKED');
    rig.fence(rig.buffer, USAGE.KERNEL);
    const changes = rig.priv.kref.changes;
    expect([rig.revokePerm(rig.buffer), rig.priv.kref.changes, rig.importer.calls]).toEqual([undefined, changes, 0]);
  });

  test('touches no other buffer, wherever that lies, and no mapping of the BAR', () => {
    const rig = new World('OK');
    const alias = rig.exported(rig.dev);
    const others = [rig.mapBuf(alias), rig.mapBar()];
    const importer = rig.attach(alias);
    const bytes = others.map((it) => it.touch());
    rig.revokePerm(rig.buffer);
    expect(others.map(({ reached }) => reached.length)).toEqual([1, 1]);
    expect(others.map((it) => it.touch())).toEqual(bytes);
    expect([alias.priv.status, importer.calls, isErrno(rig.map(importer))]).toEqual(['OK', 0, false]);
  });

  test('lets the same slice be exported again at once', () => {
    const rig = new World('PERM_REVOKED');
    const again = rig.exported(rig.dev);
    expect([again.priv.status, rig.mapBuf(again).touch()]).toEqual(['OK', '0x4000000000']);
  });

  test('is by the device that exported the buffer, and by no other', () => {
    const rig = new World('OK');
    const other = rig.opened({ name: 'other' });
    expect([rig.revokePerm(rig.buffer, other), rig.priv.status, rig.revokePerm(rig.buffer)]).toEqual([
      'ENODEV',
      'OK',
      undefined,
    ]);
    expect([rig.revokePerm(rig.buffer, other), rig.revokePerm(rig.buffer)]).toEqual(['ENODEV', 'EBADFD']);
  });

  test('is EINVAL through a device that is not bound, and ENOTTY before the series', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    (rig.dev.file as { accessGranted: boolean }).accessGranted = false;
    expect(rig.revokePerm(buffer)).toBe('EINVAL');
    const old = new V4Rig({ ...V4, revokesForGood: false });
    const exported = old.exported(old.dev);
    expect([old.revokePerm(exported), old.memattr(exported, 1), exported.priv.status]).toEqual([
      'ENOTTY',
      'ENOTTY',
      'OK',
    ]);
  });

  test('is held up by an importer that never unmaps, and memory off with it', () => {
    const rig = new World('OK');
    rig.map(rig.importer);
    const revoke = rig.actor('revoke', vfioRevokeForGood(rig.dev, rig.buffer.fd, rig.fds));
    const off = rig.actor('memory off', vfioConfigMemory(rig.dev, false));
    expect([revoke.run(), off.run()]).toEqual([false, false]);
  });
});
