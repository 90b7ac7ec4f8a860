/** The end of an access against an UNMAP that asks its driver to let go. Source: iommufd 2.13, 2.16 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { type Branch, interleave } from '../../explore/interleave.ts';
import { type Access, type AccessOps, accessAttach, accessCreate, accessDestroy } from '../../impl/iommufd/access.ts';
import { notifyUnmap } from '../../impl/iommufd/access-table.ts';
import { preempt, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { bytes, fromBigint } from '../../impl/kernel/units.ts';
import { AccessRig, MAP } from './access-rig.ts';
import { A } from './iommufd-rig.ts';
import { inTask } from './kernel-rig.ts';

test('once an access is destroyed its driver is not being asked, nor ever again, in every interleaving', () => {
  let whileAsked = 0;
  const schedules = exhaust((choose) => {
    const rig = new AccessRig([MAP]);
    let [asked, destroyed] = [false, false];
    const ops: AccessOps = {
      needsPinPages: true,
      *unmap(): Thread {
        asked = true;
        yield preempt;
        expect(destroyed).toBe(false);
        asked = false;
      },
    };
    const access = inTask(() => accessCreate(rig.ioas().ctx, ops), rig.machine.kernel) as Access;
    rig.call(accessAttach(access, rig.ioas().id));
    const { iopt } = rig.ioas();
    const branch = (name: string, thread: Thread): Branch<void> => {
      const task = new Task(name, rig.machine.kernel);
      return { task, thread: syscall(task, () => thread) };
    };
    interleave(
      [branch('unmap', notifyUnmap(iopt, fromBigint(A), bytes(0x1000))), branch('destroy', accessDestroy(access))],
      choose,
      ({ task, wants }) => {
        if (task.name !== 'destroy') return;
        if (asked && wants?.name.startsWith('users of access') === true) whileAsked++;
        destroyed ||= wants === undefined;
      },
    );
    rig.expectAtRest();
  });
  expect(whileAsked).toBeGreaterThan(0);
  expect(schedules).toBeGreaterThan(5);
});
