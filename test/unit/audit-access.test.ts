/** The audit of accesses, by negative controls: each thing that is put wrong at rest is said. */
import { expect, test } from 'vitest';
import type { Access } from '../../impl/iommufd/access.ts';
import type { Area } from '../../impl/iommufd/area.ts';
import type { PagesAccess, PagesAccesses } from '../../impl/iommufd/pages-accesses.ts';
import { switchTo, Task } from '../../impl/kernel/thread.ts';
import type { Command } from '../../trace/command.ts';
import { AccessRig, MAP } from './access-rig.ts';
import { A } from './iommufd-rig.ts';

const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };

interface Scene {
  readonly rig: AccessRig;
  readonly access: Access;
  readonly area: Area;
  readonly accesses: PagesAccesses;
  /** The only interval that is held: pages 1 and 2. */
  readonly held: PagesAccess;
}

function scene(): Scene {
  const rig = new AccessRig([MAP, other]);
  const mock = rig.create();
  rig.pin(mock, A + 0x1000n, 0x2000n);
  const [area] = rig.areas() as [Area];
  const accesses = area.pages?.accesses as PagesAccesses;
  return { rig, access: mock.access, area, accesses, held: accesses.itree.all()[0] as PagesAccess };
}

test('pins, accesses and their IOASes at rest have nothing to say', () => {
  expect(scene().rig.machine.audit()).toEqual([]);
});

test.each<[what: string, spoil: (it: Scene) => unknown, line: RegExp]>([
  ['a user too many of an access', (it) => it.access.users++, /access \d+ counts 3 users, and 2 are found/],
  ['a user too few of an IOAS', ({ rig }) => rig.ioas().users--, /ioas \d+ counts 1 users, and 2 are found/],
  ['an access without its reference of the context', ({ rig }) => rig.ioas().ctx.file.get(), /file ctx counts/],
  [
    'an access on its way',
    (it) => Object.assign(it.access, { ioasUnpin: it.rig.ioas('other') }),
    /access \d+ is left on its way/,
  ],
  [
    'an access in the list of another IOAS',
    (it) => it.rig.ioas('other').iopt.accesses.add(it.access),
    /is in the list of an IOAS that it is not attached to/,
  ],
  [
    'an access that is left locked',
    ({ rig, access }) => {
      const task = new Task('stray', rig.machine.kernel);
      const before = switchTo(task);
      access.ioasLock.enter(task);
      switchTo(before);
    },
    /access \d+ is left locked/,
  ],
  [
    'an alignment that nobody asks for (I-44)',
    (it) => Object.assign(it.rig.ioas().iopt, { alignment: 1 }),
    /alignment/,
  ],
  ['a pin that the area does not know of', (it) => it.held.users++, /pinned 2 times, and 1 times by their areas/],
  ['a pin that only the area knows of', (it) => it.area.numAccesses++, /pinned 1 times, and 2 times by their areas/],
  ['a page without its number', (it) => it.accesses.pinnedPfns.delete(2), /page 2 of user pages has no number/],
  ['a number too many', (it) => it.accesses.pinnedPfns.set(3, 3), /page 3 of user pages has a number/],
  ['a number beyond the end', (it) => it.accesses.pinnedPfns.set(8, 8), /numbers of pages beyond their end/],
  [
    'an interval that is gone, with its pages pinned',
    (it) => it.accesses.itree.remove(it.held),
    /0 of user pages are held, and 2 pinned/,
  ],
])('%s is said', (_, spoil, line) => {
  const it = scene();
  spoil(it);
  expect(it.rig.machine.audit().filter((said) => line.test(said))).toHaveLength(1);
});
