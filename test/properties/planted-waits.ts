/** Bugs of locks: waits that fail with other locks held around, and a lock that is left; a crash with locks held. */
import { Area } from '../../impl/iommufd/area.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { Rwsem } from '../../impl/kernel/rwsem.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { running } from '../../impl/kernel/thread.ts';
import { type Planted, replace, underRevoke } from './plant.ts';

const wantedByRevoke = ({ name }: Mutex): boolean => name === 'pages->mutex' && underRevoke();

/** A revoke waits for ever, with memory_lock and the reservation held. */
const stuck = (): (() => void) =>
  replace(
    Mutex.prototype,
    'ready',
    (right) =>
      function (this: Mutex) {
        return right.call(this) && !wantedByRevoke(this);
      },
  );

/** Nobody can give memory_lock up once a wait has failed. */
const splatsOnTheWayOut = (): (() => void) =>
  replace(
    Rwsem.prototype,
    'releaseWrite',
    (right) =>
      function (this: Rwsem) {
        if (running()?.failedWait !== undefined) throw new Splat('WARN', `${this.name} is given up in vain`);
        right.call(this);
      },
  );

export const PLANTED_WAITS: readonly Planted[] = [
  {
    bug: 'under a revoke nobody ever gets pages->mutex',
    breaches: ['deadlock: process waits for pages->mutex, blocked by nobody'],
    plant: stuck,
  },
  {
    bug: 'the same, and the lock around it cannot be given up either',
    breaches: ['deadlock: process waits for pages->mutex, blocked by nobody'],
    plant: () => {
      const undo = [stuck(), splatsOnTheWayOut()];
      return () => {
        for (const each of undo) each();
      };
    },
  },
  {
    bug: 'pages->mutex is gone when a revoke has it, and the lock around it cannot be given up',
    breaches: ['use after free: process takes pages->mutex'],
    plant: () => {
      const gone = (right: Mutex['enter']): Mutex['enter'] =>
        function (this: Mutex, task) {
          if (wantedByRevoke(this)) throw new Splat('use after free', `${task.name} takes ${this.name}`);
          right.call(this, task);
        };
      const undo = [replace(Mutex.prototype, 'enter', gone), splatsOnTheWayOut()];
      return () => {
        for (const each of undo) each();
      };
    },
  },
  {
    bug: 'igroup.lock is never given up',
    breaches: ['lockdep: process ends holding igroup.lock'],
    plant: () =>
      replace(
        Mutex.prototype,
        'release',
        (right) =>
          function (this: Mutex) {
            if (this.name !== 'igroup.lock') right.call(this);
          },
      ),
  },
  {
    bug: 'a revoke finds no list of domains where one must be, and crashes',
    breaches: ['at revokeNotify'],
    plant: () => {
      const right = Object.getOwnPropertyDescriptor(Area.prototype, 'tracked') as PropertyDescriptor;
      const get = function (this: Area): unknown {
        return underRevoke() ? undefined : right.get?.call(this);
      };
      Object.defineProperty(Area.prototype, 'tracked', { ...right, get });
      return () => void Object.defineProperty(Area.prototype, 'tracked', right);
    },
  },
];
