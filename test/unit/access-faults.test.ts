/**
 * Every fault point of what accesses do: the call fails, all is as it was, and the same call then succeeds.
 *
 * Source: iommufd 5
 */
import { expect, test } from 'vitest';
import { accessRw } from '../../impl/iommufd/access-rw.ts';
import { mockCreateAccess, NEEDS_PIN_PAGES } from '../../impl/iommufd/mock-access.ts';
import { Mm } from '../../impl/kernel/mm.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { AccessRig, MAP } from './access-rig.ts';
import { A, mapFileOf } from './iommufd-rig.ts';
import { sweep } from './kernel-rig.ts';

const NEXT: Command = { ...mapFileOf(), fd: 'f', iova: A + 0x8000n };
const attachDomain: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
/** A part of what is pinned is in a domain already: pages 2 and 3. */
const halfMapped: readonly Command[] = [
  MAP,
  { do: 'ioas_alloc', ctx: 'ctx', as: 'other' },
  { do: 'vfio_attach', dev: 'dev0', pt: 'other' },
  { do: 'ioas_copy', dst: 'other', src: 'ioas', src_iova: A + 0x2000n, length: 0x2000n, dst_iova: A, prot: 'rw' },
];

/** What an operation of a driver may change. */
const state = (rig: AccessRig): unknown => ({
  ...(rig.state([]) as object),
  pins: [rig.pins('m'), rig.pins('f')],
  accesses: rig.accesses().map(({ id, users }) => [id, users]),
  counts: rig
    .areas()
    .map(({ numAccesses, numLocks, preventAccess, pages }) => [
      numAccesses,
      numLocks,
      preventAccess,
      [...(pages?.accesses?.pinnedPfns ?? [])],
    ]),
});

interface Case {
  readonly name: string;
  readonly before: readonly Command[];
  /** Prepares, and gives what is swept; it answers an errno when it fails. */
  readonly operation: (rig: AccessRig) => () => unknown;
  readonly sites: readonly string[];
}

const PIN_USER = ['iopt_area_add_access', 'batch_init', 'pin_user_pages', 'pages_to_xarray', 'do_update_pinned'];
const withAccess = (work: (rig: AccessRig, mock: ReturnType<AccessRig['create']>) => unknown) => (rig: AccessRig) => {
  const mock = rig.create();
  return () => work(rig, mock);
};

const rw =
  (flags: number, length: number, foreign = false) =>
  (rig: AccessRig) => {
    const { access } = rig.create();
    const { mm, ram } = rig.machine;
    const caller = foreign ? new Mm(ram) : mm;
    return () => rig.call(accessRw(access, fromBigint(A + 0xff0n), new Uint8Array(length), flags, caller));
  };

const CASES: readonly Case[] = [
  {
    name: 'making an access',
    before: [MAP],
    operation: (rig) => () => rig.call(mockCreateAccess(rig.ioas().ctx, rig.ioas().id, NEEDS_PIN_PAGES)),
    sites: ['iommufd_object_alloc', 'iopt_add_access'],
  },
  {
    name: 'making a queue',
    before: [MAP],
    operation: (rig) => () => rig.queue(A, 0x2000n),
    sites: ['iommufd_object_alloc', 'iopt_add_access', ...PIN_USER],
  },
  {
    name: 'moving an access to another IOAS',
    before: [MAP, { do: 'ioas_alloc', ctx: 'ctx', as: 'other' }],
    operation: withAccess((rig, mock) => rig.replace(mock, 'other')),
    sites: ['iopt_add_access'],
  },
  {
    name: 'a pin of user memory',
    before: [MAP],
    operation: withAccess((rig, mock) => rig.pin(mock, A, 0x3000n)),
    sites: [...PIN_USER, 'mock_access_item'],
  },
  {
    name: 'a pin of user memory and a memfd behind it',
    before: [MAP, NEXT],
    operation: withAccess((rig, mock) => rig.pin(mock, A + 0x6000n, 0x4000n)),
    sites: [...PIN_USER, 'memfd_pin_folios', 'mock_access_item'],
  },
  {
    name: 'a pin of which a domain has the middle',
    before: halfMapped,
    operation: withAccess((rig, mock) => rig.pin(mock, A, 0x6000n)),
    sites: [...PIN_USER, 'mock_access_item'],
  },
  {
    name: 'a pin of which another pin has a part',
    before: [MAP],
    operation: (rig) => {
      const mock = rig.create();
      rig.pin(mock, A + 0x1000n, 0x2000n);
      return () => rig.pin(mock, A, 0x4000n);
    },
    sites: [...PIN_USER, 'mock_access_item'],
  },
  {
    name: 'a pin of all that a domain has',
    before: [MAP, attachDomain],
    operation: withAccess((rig, mock) => rig.pin(mock, A, 0x2000n)),
    sites: ['iopt_area_add_access', 'batch_init', 'pages_to_xarray', 'mock_access_item'],
  },
  { name: 'a read by the process itself', before: [MAP], operation: rw(0, 0x20), sites: [] },
  {
    name: 'a read of one page by another process',
    before: [MAP],
    operation: rw(0, 0x10, true),
    sites: ['iopt_pages_rw_page', 'pin_user_pages'],
  },
  {
    name: 'a read of two pages by another process',
    before: [MAP],
    operation: rw(0, 0x20, true),
    sites: ['batch_init', 'pin_user_pages'],
  },
  {
    name: 'a read of a memfd',
    before: [{ ...NEXT, iova: A } as Command],
    operation: rw(0, 0x20),
    sites: ['batch_init', 'memfd_pin_folios'],
  },
];

test.each(CASES.map((each) => [each.name, each] as const))(
  '%s: at every fault point, leaves all as it was, and then succeeds',
  (_, { before, operation, sites }) => {
    const rig = new AccessRig(before);
    const work = operation(rig);
    const untouched = state(rig);
    let last: unknown;
    const failed = sweep(
      rig.machine.kernel,
      () => {
        last = work();
        return last;
      },
      (answer, site) => {
        expect(answer, site).toBeTypeOf('string');
        expect(state(rig), site).toEqual(untouched);
        rig.expectAtRest();
      },
    );
    expect(last).not.toBeTypeOf('string');
    rig.expectAtRest();
    expect([...new Set(failed)].toSorted()).toEqual([...sites].toSorted());
  },
);

test('a domain that cannot be filled where an access has pinned leaves the pins, and is filled the next time', () => {
  const rig = new AccessRig([MAP]);
  const mock = rig.create();
  rig.pin(mock, A + 0x2000n, 0x2000n);
  const untouched = state(rig);
  const failed = sweep(
    rig.machine.kernel,
    () => rig.do(attachDomain),
    (answer, site) => {
      expect(answer, site).toHaveProperty('err');
      expect(state(rig), site).toEqual(untouched);
      rig.expectAtRest();
    },
  );
  expect(failed).toContain('pin_user_pages');
  expect(rig.pins()).toBe('1111111100000000');
  rig.expectAtRest();
});
