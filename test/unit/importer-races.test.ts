/** What an importer races with, each in every interleaving. Source: vfio-dmabuf 7.3 */
import { expect, test, vi } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import { USAGE, type Usage } from '../../impl/dmabuf/resv.ts';
import {
  type Importer,
  importerAttach,
  importerDetach,
  importerMap,
  importerUnmap,
} from '../../impl/importers/importer.ts';
import { preempt, type Thread } from '../../impl/kernel/thread.ts';
import { vfioConfigMemory, vfioDeviceReset } from '../../impl/vfio/ioctl.ts';
import { ImporterRig } from './importer-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

interface Race {
  readonly it: ImporterRig;
  /** Who races with the revoke, by name. */
  readonly others: Readonly<Record<string, Thread<string>>>;
  /** The revoke, unless it is memory off. */
  readonly revoke?: Thread<unknown>;
  /** What must hold as soon as the revoke has returned. */
  readonly revoked?: () => void;
  /** What must hold after every step. */
  readonly always?: () => void;
}

/** How it ended in every interleaving: what the others answered, and the callbacks. */
function ends(race: () => Race): string[] {
  const all = new Set<string>();
  exhaust((choose) => {
    const { it, others, revoke, revoked, always } = race();
    const branches = Object.entries(others).map(([name, thread]) => it.branch<unknown>(name, thread));
    branches.push(it.branch('revoke', revoke ?? vfioConfigMemory(it.device, false)));
    const answers = interleave(branches, choose, ({ task, wants }) => {
      always?.();
      const { kref, comp } = it.buffer.priv;
      const live = it.buffer.dmabuf.attachments.reduce((sum, { liveMaps }) => sum + liveMaps, 0);
      const token = kref.count - live;
      const rests = !it.device.memoryLock.locked;
      // V-13, V-14: never dropped below what is live, and re-armed before memory_lock is free.
      if (token < 0 || token > 1 || (rests && (token === 0 || comp.ready())))
        throw new Error(`a token of ${kref.count} for ${live} maps`);
      if (task.name === 'revoke' && wants === undefined) revoked?.();
    });
    all.add([...answers.slice(0, -1), ...it.callbacks].join(', '));
  });
  return [...all].toSorted();
}

/** As a driver with nothing else to do: whatever it got, it gives back. */
function* mapAndUnmap(importer: Importer): Thread<string> {
  const refused = yield* importerMap(importer);
  if (refused !== undefined) return refused;
  yield preempt;
  yield* importerUnmap(importer);
  return 'mapped';
}

function* attachAndMap(it: ImporterRig, importer: Importer): Thread<string> {
  const refused = yield* importerAttach(importer, it.rig.fds, it.buffer.fd);
  return refused ?? `attached, ${yield* mapAndUnmap(importer)}`;
}

function* said(thread: Thread): Thread<string> {
  yield* thread;
  return 'done';
}

test('R2: attach ends in ENODEV, or attached, and called back if listed; it maps before the revoke or not', () => {
  const race = (): Race => {
    const it = new ImporterRig();
    const importer = it.importer('late');
    return {
      it,
      others: { attach: attachAndMap(it, importer) },
      revoked: () => expect(importer.maps).toEqual([]),
    };
  };
  expect(ends(race)).toEqual(['ENODEV', 'attached, ENODEV', 'attached, ENODEV, late', 'attached, mapped, late']);
});

test('R3: a map is counted and waited for, or refused', () => {
  const race = (): Race => {
    const it = new ImporterRig();
    const importer = it.attached('late');
    return { it, others: { map: mapAndUnmap(importer) }, revoked: () => expect(importer.maps).toEqual([]) };
  };
  expect(ends(race)).toEqual(['ENODEV, late', 'mapped, late']);
});

test('R3: two maps by two importers are both waited for, or each refused', () => {
  const race = (): Race => {
    const it = new ImporterRig();
    const [first, second] = [it.attached('late', 'first'), it.attached('late', 'second')];
    const revoked = () => expect([first.maps, second.maps]).toEqual([[], []]);
    return { it, others: { first: mapAndUnmap(first), second: mapAndUnmap(second) }, revoked };
  };
  const told = 'second, first';
  expect(ends(race)).toEqual(
    ['ENODEV, ENODEV', 'ENODEV, mapped', 'mapped, ENODEV', 'mapped, mapped'].map((answers) => `${answers}, ${told}`),
  );
});

test('R4: a map that races with a reset comes before or after, or is refused; its token is no drained one', () => {
  const race = (): Race => {
    const it = new ImporterRig();
    const importer = it.attached('late');
    const always = () => {
      if (importer.maps.length > 0 && !it.device.memoryLock.locked) expect(it.buffer.priv.kref.count).toBe(2);
    };
    return { it, others: { map: mapAndUnmap(importer) }, revoke: vfioDeviceReset(it.device), always };
  };
  expect(ends(race)).toEqual(['ENODEV, late, late', 'mapped, late, late']);
});

test('R5: a revoke returns only after the unmap', () => {
  const race = (): Race => {
    const it = new ImporterRig();
    const importer = it.mapped('late');
    const revoked = () => expect([importer.maps, importer.attachment?.liveMaps]).toEqual([[], 0]);
    return { it, others: { unmap: said(importerUnmap(importer)) }, revoked };
  };
  expect(ends(race)).toEqual(['done, late']);
});

test.each(Object.entries(USAGE))(
  'R6: a revoke returns only after the signal of a fence of usage %s (%d)',
  (_, usage) => {
    const race = (): Race => {
      const it = new ImporterRig();
      const importer = it.attached('late');
      const fence = it.working(importer, usage as Usage);
      function* signal(): Thread<string> {
        yield preempt;
        fence.signal();
        return 'done';
      }
      return { it, others: { signal: signal() }, revoked: () => expect(fence.signaled).toBe(true) };
    };
    expect(ends(race)).toEqual(['done, late']);
  },
);

test('R24: no callback runs once the detach has returned', () => {
  const race = (): Race => {
    const it = new ImporterRig();
    const importer = it.attached('late');
    let left: number | undefined;
    function* leave(): Thread<string> {
      yield* importerDetach(importer);
      left = it.callbacks.length;
      return 'done';
    }
    const always = () => {
      if (left !== undefined) expect(it.callbacks).toHaveLength(left);
    };
    return { it, others: { detach: leave() }, always };
  };
  expect(ends(race)).toEqual(['done', 'done, late']);
});

test('R24: a detach of what is mapped lets the revoke go on, before or in it', () => {
  const race = (): Race => {
    const it = new ImporterRig();
    const importer = it.mapped('late');
    return { it, others: { detach: said(importerDetach(importer)) } };
  };
  expect(ends(race)).toEqual(['done', 'done, late']);
});
