/** What no correct caller does: each is a splat, because nothing above would notice. Source: iommufd 4.4 */
import { describe, expect, test } from 'vitest';
import { accountOf, chargePinned, unchargeUnpinned } from '../../impl/iommufd/accounting.ts';
import { Area } from '../../impl/iommufd/area.ts';
import {
  isRevoked,
  releaseDmabuf,
  revokeNotify,
  trackAllDomains,
  trackDomain,
  untrackAllDomains,
  untrackDomain,
} from '../../impl/iommufd/dmabuf.ts';
import { fillDomains, unfillDomains, unfillLocked } from '../../impl/iommufd/fill.ts';
import { mapPages } from '../../impl/iommufd/map.ts';
import { type DmabufSource, Pages } from '../../impl/iommufd/pages.ts';
import { PfnReader } from '../../impl/iommufd/pfn-reader.ts';
import { allocIova, checkIova } from '../../impl/iommufd/placement.ts';
import { putPages } from '../../impl/iommufd/release.ts';
import { addDomain, removeDomain } from '../../impl/iommufd/table-domain.ts';
import { unpinArea } from '../../impl/iommufd/unpin.ts';
import type { Mutex } from '../../impl/kernel/mutex.ts';
import type { Rwsem } from '../../impl/kernel/rwsem.ts';
import { drain, Kernel, Task, type Thread } from '../../impl/kernel/thread.ts';
import { bytes, fromBigint, u64, ZERO } from '../../impl/kernel/units.ts';
import { A, attached, mapFileOf, type Rig } from './iommufd-rig.ts';
import { splatOf } from './kernel-rig.ts';

/** A buffer's area in one domain, and user memory's beside it. */
function world() {
  const rig = attached([{ do: 'mem_alloc', as: 'm', length: 0x4000n }, mapFileOf()]);
  rig.map('m', 0x4000n, { iova: A + 0x4000n });
  const { iopt } = rig.ioas();
  const [area, user] = iopt.areas.all() as [Area, Area];
  const [pages, userPages] = [area.pages as Pages, user.pages as Pages];
  return { rig, iopt, area, pages, user, userPages, domain: rig.domain('dev0'), source: pages.source as DmabufSource };
}

/** Run `work` with mutexes held, or semaphores for writing. */
function* locked(locks: readonly (Mutex | Rwsem)[], work: () => unknown): Thread<unknown> {
  for (const lock of locks) yield 'write' in lock ? lock.write : lock;
  try {
    const made = work();
    return isThread(made) ? yield* made : made;
  } finally {
    for (const lock of locks.toReversed()) {
      if ('write' in lock) lock.releaseWrite();
      else lock.release();
    }
  }
}

const isThread = (made: unknown): made is Thread<unknown> =>
  typeof made === 'object' && made !== null && Symbol.iterator in made && 'next' in made;

const held = (rig: Rig, locks: readonly (Mutex | Rwsem)[], work: () => unknown): string =>
  splatOf(() => rig.call(locked(locks, work)));

type World = ReturnType<typeof world>;

describe('without its lock, splats', () => {
  test.each<[what: string, lock: string, work: (w: World) => unknown]>([
    ['asking whether a buffer is revoked', 'pages->mutex', ({ pages }) => isRevoked(pages)],
    ['tracking a domain', 'pages->mutex', ({ pages, area, domain }) => trackDomain(pages, area, domain)],
    ['untracking a domain', 'pages->mutex', ({ pages, area, domain }) => untrackDomain(pages, area, domain)],
    ['untracking all domains', 'pages->mutex', ({ pages, area }) => untrackAllDomains(pages, area)],
    ['charging', 'pages->mutex', ({ userPages }) => chargePinned(userPages)],
    ['giving a charge back', 'pages->mutex', ({ userPages }) => unchargeUnpinned(userPages)],
    ['revoke', 'dev0.dmabuf0.resv', ({ pages }) => revokeNotify(pages)],
    ['filling an area', 'domains_rwsem', ({ area, pages }) => fillDomains(area, pages)],
    ['unfilling an area', 'domains_rwsem', ({ area, pages }) => unfillDomains(area, pages)],
    ['unfilling a domain', 'pages->mutex', ({ area, pages, domain }) => unfillLocked(area, pages, domain, [])],
    ['unpinning', 'pages->mutex', ({ user, userPages, domain }) => unpinArea(user, userPages, domain)],
    ['placing at a fixed IOVA', 'iova_rwsem', ({ iopt }) => checkIova(iopt, ZERO, bytes(1))],
    ['placing anywhere', 'iova_rwsem', ({ iopt }) => allocIova(iopt, ZERO, bytes(1))],
    ['reserving', 'iova_rwsem', ({ iopt }) => iopt.reserve(ZERO, ZERO, iopt)],
    ['dropping reservations', 'iova_rwsem', ({ iopt }) => iopt.unreserve(iopt)],
    ['looking at alignments', 'iova_rwsem', ({ iopt }) => iopt.allAligned(1)],
  ])('%s: %s', (_, lock, work) => {
    const w = world();
    const message = held(w.rig, [], () => work(w));
    expect(message).toMatch(/^lockdep: /);
    expect(message).toContain(`${lock} must be held`);
  });
});

test('a revoked buffer is never read, tracked twice, or untracked twice', () => {
  const w = world();
  const { rig, pages, area, domain } = w;
  expect(held(rig, [pages.mutex], () => trackDomain(pages, area, domain))).toMatch('tracked twice');
  expect(held(rig, [pages.mutex], () => trackAllDomains(pages, area, [domain]))).toMatch('tracked twice');
  const twice = (): void => {
    untrackDomain(pages, area, domain);
    untrackDomain(pages, area, domain);
  };
  expect(held(rig, [pages.mutex], twice)).toMatch('that was not tracked');
  const revoked = world();
  revoked.rig.memory(false);
  const read = (): unknown => new PfnReader(revoked.pages, 0, 3);
  expect(held(revoked.rig, [revoked.pages.mutex], read)).toBe('WARN: a reader starts on revoked pages');
});

test('memory of other kinds is not tracked', () => {
  const { rig, userPages, user, domain } = world();
  const answers = rig.call(
    locked([userPages.mutex], () => [
      trackDomain(userPages, user, domain),
      untrackDomain(userPages, user, domain),
      untrackAllDomains(userPages, user),
      isRevoked(userPages),
    ]),
  );
  expect(answers).toEqual([undefined, undefined, undefined, false]);
});

test('pages are not released with a domain, with pins, with charges, or with tracker entries', () => {
  const inDomain = world();
  expect(held(inDomain.rig, [], () => putPages(inDomain.pages))).toBe('WARN: pages released while a domain holds them');
  const pinned = world();
  const source = { kind: 'user', mm: pinned.rig.machine.mm, startPage: 0 } as const;
  const leaking = new Pages(source, 1, true, pinned.rig.machine.ram);
  leaking.npinned = 3;
  expect(held(pinned.rig, [], () => putPages(leaking))).toBe('WARN: pages released with 3 pages pinned');
  const charged = world();
  const owing = new Pages(source, 1, true, charged.rig.machine.ram);
  owing.ncharged = 3;
  expect(held(charged.rig, [], () => putPages(owing))).toBe('WARN: pages released with 3 pages charged');
  const tracked = world();
  expect(held(tracked.rig, [], () => releaseDmabuf(tracked.source))).toBe(
    'WARN: dma-buf pages released with tracker entries',
  );
});

test('what is charged is never more than what is pinned, nor the reverse, when it is evened out', () => {
  const more = world();
  more.userPages.npinned--;
  expect(held(more.rig, [more.userPages.mutex], () => chargePinned(more.userPages))).toBe(
    'WARN: pages were unpinned, and not given back',
  );
  const less = world();
  less.userPages.npinned++;
  expect(held(less.rig, [less.userPages.mutex], () => unchargeUnpinned(less.userPages))).toBe(
    'WARN: more pages are pinned than were charged',
  );
});

test('memory is charged to a process: kernel code without one maps none', () => {
  const task = new Task('nobody', new Kernel());
  const { ctx } = world().rig.ioas();
  expect(splatOf(() => drain(task, () => locked([], () => accountOf(ctx))))).toBe(
    'WARN: memory is mapped by no process',
  );
});

test('a domain neither joins an IOAS twice nor leaves it twice', () => {
  const { rig, iopt, domain } = world();
  expect(held(rig, [], () => addDomain(iopt, domain))).toBe('WARN: a domain joins an IOAS twice');
  const gone = world();
  gone.iopt.domains.length = 0;
  expect(held(gone.rig, [], () => removeDomain(gone.iopt, gone.domain))).toBe(
    'WARN: a domain leaves an IOAS that does not have it',
  );
});

test('an area leaves the tree of its pages once', () => {
  const { rig, area, pages, domain } = world();
  const twice = (): void => {
    unfillLocked(area, pages, domain, []);
    unfillLocked(area, pages, domain, []);
  };
  expect(held(rig, [pages.mutex], twice)).toBe('WARN: an area leaves the domains tree twice');
});

test('an area does not reach beyond its pages', () => {
  const { rig, iopt, pages } = world();
  const piece = { pages, start: u64(3, 0), length: bytes(0x2000), area: undefined };
  const at = fromBigint(A + 0x100000n);
  const map = (): unknown => mapPages(iopt, [piece], piece.length, at, 1);
  expect(held(rig, [], map)).toBe('WARN: an area reaches beyond its pages');
});

test('a domain that has lost the pages of an area is not read back as if it had them', () => {
  const { rig, user, userPages, domain } = world();
  domain.unmap(user.iova, 0x4000);
  expect(held(rig, [userPages.mutex], () => unpinArea(user, userPages, domain))).toBe(
    'WARN: the last domain of an area does not map it',
  );
  expect(splatOf(() => rig.copy(A + 0x4000n, 0x1000n, { dst_iova: 0n }))).toBe(
    'WARN: the storage domain of an area does not map it',
  );
});

test('an IOAS does not go while somebody works on its areas', () => {
  const { rig, area } = world();
  rig.must({ do: 'vfio_detach', dev: 'dev0' });
  area.pages = undefined;
  expect(splatOf(() => rig.do({ do: 'destroy', obj: 'ioas' }))).toBe(
    'WARN: an IOAS goes while somebody works on its areas',
  );
});

test('an area in set-up owns its IOVA: EEXIST to map, ENOENT to copy, EBUSY to unmap, EADDRINUSE to reserve', () => {
  const { rig, iopt } = world();
  rig.must({ do: 'vfio_detach', dev: 'dev0' }, { do: 'ioas_unmap', ioas: 'ioas', iova: A + 0x4000n, length: 0x4000n });
  iopt.areas.insert(new Area(iopt, fromBigint(0xfee0_0000n), fromBigint(0xfee0_0fffn), 1, ZERO));
  const there = { iova: 0xfee0_0000n, length: 0x1000n };
  expect(rig.mapFile(there)).toEqual({ err: 'EEXIST' });
  expect(rig.copy(there.iova, 0x1000n)).toEqual({ err: 'ENOENT' });
  expect(rig.unmap(there.iova, 0x1000n)).toEqual({ err: 'EBUSY' });
  expect(rig.attach()).toEqual({ err: 'EADDRINUSE' });
  expect(rig.hwpt('hwpt')).toEqual({ ok: {} }); // A domain passes over it.
  expect(rig.reach('hwpt')).toHaveLength(1);
  expect(rig.do({ do: 'destroy', obj: 'hwpt' })).toEqual({ ok: {} }); // To leave, too.
});
