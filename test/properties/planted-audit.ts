/** Bugs in who holds what, which only the audit sees. They are in what it looks at only if it was disturbed. */
import { DmaBuf } from '../../impl/dmabuf/dma-buf.ts';
import { Area } from '../../impl/iommufd/area.ts';
import { IommufdCtx } from '../../impl/iommufd/context.ts';
import { File } from '../../impl/kernel/file.ts';
import { Kref } from '../../impl/kernel/kref.ts';
import { List } from '../../impl/kernel/list.ts';
import { Backing } from '../../impl/kernel/mm.ts';
import { running } from '../../impl/kernel/thread.ts';
import { type Planted, replace, replaceSetter } from './plant.ts';

export const PLANTED_AUDIT: readonly Planted[] = [
  {
    bug: 'the last but one reference to pages is kept',
    breaches: ['audit', 'splat'],
    plant: () =>
      replace(
        Kref.prototype,
        'put',
        (right) =>
          function (this: Kref) {
            return this.name === 'iopt_pages' && this.count === 2 ? false : right.call(this);
          },
      ),
  },
  {
    bug: 'a buffer is held on when the second of its importers goes',
    breaches: ['audit', 'splat'],
    plant: () =>
      replace(
        File.prototype,
        'put',
        (right) =>
          function (this: File) {
            if (!(this.what instanceof DmaBuf) || this.refs.count !== 3) right.call(this);
          },
      ),
  },
  {
    bug: 'an area forgets where it is stored, if that is in an odd place',
    breaches: ['audit', 'splat', 'crash'],
    plant: () =>
      replaceSetter(
        Area.prototype,
        'storage',
        (right) =>
          function (this: Area, domain) {
            right.call(this, this.iova.page % 2 === 0 ? domain : undefined);
          },
      ),
  },
  {
    bug: 'an area stays tracked for a domain that it has left',
    breaches: ['audit', 'splat', 'crash'],
    plant: () =>
      replaceSetter(
        Area.prototype,
        'tracked',
        (right) =>
          function (this: Area, domains) {
            if (domains.length >= this.tracked.length) right.call(this, domains);
          },
      ),
  },
  {
    bug: 'nothing ever leaves a tracker',
    breaches: ['audit', 'splat', 'crash'],
    plant: () =>
      replace(
        List.prototype,
        'delete',
        (right) =>
          function (this: List<never>, member) {
            if (!(member instanceof Area)) right.call(this, member);
          },
      ),
  },
  {
    // No pages object has anything to do with it.
    bug: 'a call charges its user a page',
    breaches: ['audit'],
    plant: () =>
      replace(
        IommufdCtx.prototype,
        'put',
        (right) =>
          function (this: IommufdCtx, object) {
            const process = running()?.process;
            if (process !== undefined) process.user.lockedVm++;
            right.call(this, object);
          },
      ),
  },
  {
    bug: 'the first page of a mapping is pinned twice',
    breaches: ['audit'],
    plant: () =>
      replace(
        Backing.prototype,
        'pin',
        (right) =>
          function (this: Backing, index, count) {
            right.call(this, index, 1);
            right.call(this, index, count);
          },
      ),
  },
];
