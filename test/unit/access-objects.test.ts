/**
 * Accesses as objects: who may make, move and destroy them, what they hold, and the alignment that they ask for.
 *
 * Source: iommufd 1.1, 2.2, 2.5, 2.16, I-44, I-45, I-79
 */
import { describe, expect, test } from 'vitest';
import { accessAttach, accessDestroy, accessDetach } from '../../impl/iommufd/access.ts';
import { MockAccess, mockReplaceIoas, NEEDS_PIN_PAGES } from '../../impl/iommufd/mock-access.ts';
import type { Command } from '../../trace/command.ts';
import { AccessRig, MAP } from './access-rig.ts';
import { A, MOCK, OK } from './iommufd-rig.ts';
import { splatOf } from './kernel-rig.ts';

const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };
const destroyIoas: Command = { do: 'destroy', obj: 'ioas' };
/** Aligned to half a page only. */
const ragged: Command = { ...MAP, length: 0x800n };

describe('an access', () => {
  test('cannot be destroyed by a user, before and after its driver has attached it (I-79)', () => {
    const rig = new AccessRig();
    const { ctx } = rig.ioas();
    const mock = rig.create();
    expect(rig.call(ctx.destroy(mock.access.id))).toBe('EBUSY');
    rig.call(accessDetach(mock.access));
    expect(rig.call(ctx.destroy(mock.access.id))).toBe('EBUSY');
    rig.close(mock);
    expect(rig.call(ctx.destroy(mock.access.id))).toBe('ENOENT');
  });

  test('is a user of its IOAS for as long as it is attached, so that DESTROY answers EBUSY (I-79)', () => {
    const rig = new AccessRig([other]);
    const mock = rig.create();
    expect(rig.do(destroyIoas)).toEqual({ err: 'EBUSY' });
    expect(rig.replace(mock, 'other')).toBeUndefined();
    expect(rig.do(destroyIoas)).toEqual(OK);
    expect(rig.do({ do: 'destroy', obj: 'other' })).toEqual({ err: 'EBUSY' });
    rig.close(mock);
    expect(rig.do({ do: 'destroy', obj: 'other' })).toEqual(OK);
    rig.expectAtRest();
  });

  test('is no page table: to attach a device to it is EINVAL, as is a HWPT on it', () => {
    const rig = new AccessRig();
    const mock = rig.create();
    rig.machine.names.set('x', { kind: 'object', ctx: { kind: 'iommufd', fd: rig.fd('ctx') }, object: mock.access });
    expect(rig.attach('dev0', 'x')).toEqual({ err: 'EINVAL' });
    expect(rig.hwpt('h', 'x')).toEqual({ err: 'EINVAL' });
    rig.expectAtRest();
  });

  test('keeps the context alive after its descriptor is closed, with memory and pins (I-77)', () => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    rig.pin(mock, A, 0x2000n);
    for (const dev of ['dev0', 'dev1']) rig.do({ do: 'vfio_close', dev });
    rig.do({ do: 'iommufd_close', ctx: 'ctx' });
    expect([rig.pinned(), rig.read(mock, A + 0x10n, 2)]).toEqual([{ m: 2 }, [1, 1]]);
    rig.expectAtRest();
    rig.close(mock);
    expect([rig.pinned(), rig.machine.kernel.live.pages.size, rig.machine.audit()]).toEqual([{}, 0, []]);
  });

  test.each<[what: string, flags: number, answer: string]>([
    ['an unknown flag', 2, 'EOPNOTSUPP'],
    ['an IOAS that is not there', NEEDS_PIN_PAGES, 'ENOENT'],
  ])('cannot be made with %s', (_, flags, answer) => {
    const rig = new AccessRig([other, { do: 'destroy', obj: 'other' }]);
    expect(rig.tryCreate('other', flags)).toBe(answer);
    expect(rig.ioas().ctx.objects.filter(({ kind }) => kind === 'access')).toEqual([]);
    rig.expectAtRest();
  });

  test('that is attached to nothing is ENOENT for pin, rw and replace', () => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    rig.call(accessDetach(mock.access));
    expect([rig.pin(mock, A, 0x1000n), rig.read(mock, A, 1), rig.replace(mock, 'ioas')]).toEqual(
      Array(3).fill('ENOENT'),
    );
    expect(rig.call(accessAttach(mock.access, rig.ioas().id))).toBeUndefined();
    expect(rig.pin(mock, A, 0x1000n)).toBe(0);
  });

  test('splats when its driver attaches it twice, or detaches what is not attached', () => {
    const rig = new AccessRig();
    const mock = rig.create();
    expect(splatOf(() => rig.call(accessAttach(mock.access, rig.ioas().id)))).toBe('WARN: an access is attached twice');
    const loose = new AccessRig();
    const detached = loose.create();
    loose.call(accessDetach(detached.access));
    expect(splatOf(() => loose.call(accessDetach(detached.access)))).toBe(
      'WARN: an access is detached that is not attached',
    );
  });

  test('is being used while its driver is asked to let go, and destroying it waits for that', () => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    mock.access.users++;
    expect(splatOf(() => rig.call(accessDestroy(mock.access)))).toContain('waits for users of access');
  });
});

describe('replace', () => {
  test('to the same IOAS changes nothing, and keeps the pins', () => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    rig.pin(mock, A, 0x1000n);
    expect(rig.replace(mock, 'ioas')).toBeUndefined();
    expect([mock.items.size, rig.pins()]).toEqual([1, '1000000000000000']);
  });

  test('to another IOAS asks the driver to let go of everything, and moves alignment and use', () => {
    const rig = new AccessRig([other, MAP]);
    const mock = rig.create();
    rig.pin(mock, A, 0x1000n);
    expect(rig.replace(mock, 'other')).toBeUndefined();
    expect([mock.items.size, rig.pinned(), rig.alignment(), rig.alignment('other')]).toEqual([0, {}, 1, 0x1000]);
    expect([rig.ioas().users, rig.ioas('other').users]).toEqual([1, 2]);
    rig.expectAtRest();
  });

  test.each<[what: string, to: (rig: AccessRig) => number, answer: string]>([
    ['a number that nothing has', () => 99, 'ENOENT'],
    ['a device', (rig) => rig.machine.devices.get('dev0')?.iommufdDevice?.id ?? 0, 'ENOENT'],
    ['an IOAS with an area that is not aligned', (rig) => rig.ioas('other').id, 'EADDRINUSE'],
  ])('to %s fails, and the access has not moved', (_, to, answer) => {
    const rig = new AccessRig([MAP, other, { ...ragged, ioas: 'other' }]);
    const mock = rig.create();
    rig.pin(mock, A, 0x1000n);
    expect(rig.call(mockReplaceIoas(mock, to(rig)))).toBe(answer);
    expect([rig.accesses(), rig.accesses('other')]).toEqual([[mock.access], []]);
    expect([mock.items.size, rig.alignment(), rig.alignment('other')]).toEqual([1, 0x1000, 1]);
    expect(rig.pin(mock, A + 0x1000n, 0x1000n)).toBe(1);
    rig.expectAtRest();
  });

  // The number of the access in the old list was overwritten before the new one had taken it (aeb004c0cd69).
  test('that failed leaves the access where a later detach finds it (H-24)', () => {
    const rig = new AccessRig([other, { ...ragged, ioas: 'other' }]);
    const [first, mock] = [rig.create(), rig.create()];
    expect(rig.replace(mock, 'other')).toBe('EADDRINUSE');
    rig.close(mock);
    expect(rig.accesses()).toEqual([first.access]);
    rig.close(first);
    expect([rig.accesses(), rig.alignment()]).toEqual([[], 1]);
    rig.expectAtRest();
  });
});

describe('the alignment of an IOAS (I-44)', () => {
  test('is that of a page while an access may pin, whatever else comes and goes', () => {
    const rig = new AccessRig([], MOCK);
    const seen: number[] = [rig.alignment()];
    const reader = rig.create('ioas', 0);
    seen.push(rig.alignment());
    const mock = rig.create();
    seen.push(rig.alignment());
    rig.attach();
    seen.push(rig.alignment());
    rig.close(mock);
    seen.push(rig.alignment());
    rig.do({ do: 'vfio_detach', dev: 'dev0' });
    seen.push(rig.alignment());
    rig.close(reader);
    const again = rig.create();
    rig.attach();
    rig.do({ do: 'vfio_detach', dev: 'dev0' });
    seen.push(rig.alignment());
    rig.close(again);
    seen.push(rig.alignment());
    expect(seen).toEqual([1, 1, 0x1000, 0x1000, 0x800, 1, 0x1000, 1]);
    rig.expectAtRest();
  });

  test.each<[what: string, command: Command]>([
    ['IOVA', { ...MAP, iova: A + 0x800n }],
    ['length', { ...MAP, length: 0x800n }],
    ['offset in its page', { ...MAP, offset: 0x800n }],
  ])('does not grow over an area whose %s is no multiple of a page: EADDRINUSE (I-45)', (_, command) => {
    const rig = new AccessRig([command]);
    expect(rig.tryCreate('ioas', NEEDS_PIN_PAGES)).toBe('EADDRINUSE');
    expect([rig.alignment(), rig.accesses()]).toEqual([1, []]);
    expect(rig.tryCreate('ioas', 0)).toBeInstanceOf(MockAccess);
    rig.expectAtRest();
  });

  test('is asked of what is mapped later', () => {
    const rig = new AccessRig();
    const mock = rig.create();
    expect(rig.do(ragged)).toEqual({ err: 'EINVAL' });
    rig.close(mock);
    expect(rig.do(ragged)).toHaveProperty('ok');
  });
});
