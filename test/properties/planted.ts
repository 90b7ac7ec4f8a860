/** Bugs planted in a running implementation, each of which something must see. */
import type { Attachment } from '../../impl/dmabuf/attachment.ts';
import { DmaBuf } from '../../impl/dmabuf/dma-buf.ts';
import { Domain } from '../../impl/iommu/domain.ts';
import { IOMMU_CACHE, IOMMU_MMIO } from '../../impl/iommu/prot.ts';
import { IommufdCtx } from '../../impl/iommufd/context.ts';
import { File } from '../../impl/kernel/file.ts';
import { Kref } from '../../impl/kernel/kref.ts';
import { Backing } from '../../impl/kernel/mm.ts';
import { running } from '../../impl/kernel/thread.ts';
import { add, bytes } from '../../impl/kernel/units.ts';
import { Machine } from '../../impl/machine.ts';
import { type Planted, replace, underRevoke } from './plant.ts';
import { PLANTED_AUDIT } from './planted-audit.ts';
import { PLANTED_CPU } from './planted-cpu.ts';

const acquisitions = (): number | undefined => running()?.kernel.lockdep.acquisitions;
const isBar = (phys: number): boolean => phys >= 2 ** 38;

export const PLANTED: readonly Planted[] = [
  {
    bug: 'a revoke leaves the mappings of a domain alone',
    breaches: ['never mapped while revoked', 'no double unmap', 'splat'],
    plant: () =>
      replace(
        Domain.prototype,
        'unmap',
        (right) =>
          function (this: Domain, iova, length) {
            if (!underRevoke()) right.call(this, iova, length);
          },
      ),
  },
  {
    bug: 'a revoke forgets all but the first page',
    breaches: ['never mapped while revoked', 'no double unmap', 'splat'],
    plant: () =>
      replace(
        Domain.prototype,
        'unmap',
        (right) =>
          function (this: Domain, iova, length) {
            right.call(this, iova, underRevoke() ? this.granule : length);
          },
      ),
  },
  {
    bug: 'device memory is mapped one page off',
    breaches: ['sub-page offsets correct', 'one MMIO range'],
    plant: () =>
      replace(
        Domain.prototype,
        'map',
        (right) =>
          function (this: Domain, iova, phys, length, prot) {
            return right.call(this, iova, isBar(phys) ? phys + this.granule : phys, length, prot);
          },
      ),
  },
  {
    bug: 'a mapping is one page too short',
    breaches: ['reach', 'calls', 'one MMIO range', 'no double unmap', 'splat'],
    plant: () =>
      replace(
        Domain.prototype,
        'map',
        (right) =>
          function (this: Domain, iova, phys, length, prot) {
            return right.call(this, iova, phys, Math.max(this.granule, length - this.granule), prot);
          },
      ),
  },
  {
    bug: 'the first page of a mapping is left out',
    breaches: ['reach', 'calls', 'one MMIO range', 'no double unmap', 'splat'],
    plant: () =>
      replace(
        Domain.prototype,
        'map',
        (right) =>
          function (this: Domain, iova, phys, length, prot) {
            if (length <= this.granule) return right.call(this, iova, phys, length, prot);
            return right.call(this, add(iova, bytes(this.granule)), phys + this.granule, length - this.granule, prot);
          },
      ),
  },
  {
    bug: 'device memory is mapped a second time, where nobody asked for it',
    breaches: ['sub-page offsets correct'],
    plant: () =>
      replace(
        Domain.prototype,
        'map',
        (right) =>
          function (this: Domain, iova, phys, length, prot) {
            if (isBar(phys)) right.call(this, add(iova, bytes(2 ** 34)), phys, length, prot);
            return right.call(this, iova, phys, length, prot);
          },
      ),
  },
  {
    bug: 'device memory is mapped like RAM',
    breaches: ['one MMIO range'],
    plant: () =>
      replace(
        Domain.prototype,
        'map',
        (right) =>
          function (this: Domain, iova, phys, length, prot) {
            return right.call(this, iova, phys, length, (prot & ~IOMMU_MMIO) | IOMMU_CACHE);
          },
      ),
  },
  {
    bug: 'everything is mapped for reading and writing',
    breaches: ['reach'],
    plant: () =>
      replace(
        Domain.prototype,
        'map',
        (right) =>
          function (this: Domain, iova, phys, length, prot) {
            return right.call(this, iova, phys, length, prot | 3);
          },
      ),
  },
  {
    bug: 'an importer that leaves stays on the list',
    breaches: ['audit', 'splat'],
    plant: () => replace(DmaBuf.prototype, 'unlink', () => () => true),
  },
  {
    bug: 'an importer that leaves takes the newest one off the list',
    breaches: ['audit', 'splat'],
    plant: () =>
      replace(
        DmaBuf.prototype,
        'unlink',
        (right) =>
          function (this: DmaBuf) {
            return right.call(this, this.attachments[0] as Attachment);
          },
      ),
  },
  {
    bug: 'a copy takes no reference to its pages',
    breaches: ['audit', 'splat'],
    plant: () =>
      replace(
        Kref.prototype,
        'get',
        (right) =>
          function (this: Kref) {
            if (this.name !== 'iopt_pages') right.call(this);
          },
      ),
  },
  {
    bug: 'the last of several pages stays pinned',
    breaches: ['audit'],
    plant: () =>
      replace(
        Backing.prototype,
        'unpin',
        (right) =>
          function (this: Backing, index, count) {
            right.call(this, index, Math.max(1, count - 1));
          },
      ),
  },
  {
    bug: 'the third reference to a buffer is not counted',
    breaches: ['audit', 'splat'],
    plant: () =>
      replace(
        File.prototype,
        'get',
        (right) =>
          function (this: File) {
            if (!(this.what instanceof DmaBuf) || this.refs.count !== 2) right.call(this);
          },
      ),
  },
  {
    bug: 'a call that takes no lock keeps a user of its object',
    breaches: ['audit'],
    plant: () => {
      let taken: number | undefined;
      const takeOut = [
        replace(
          IommufdCtx.prototype,
          'getAny',
          (right) =>
            function (this: IommufdCtx, id) {
              taken = acquisitions();
              return right.call(this, id);
            },
        ),
        replace(
          IommufdCtx.prototype,
          'put',
          (right) =>
            function (this: IommufdCtx, object) {
              if (acquisitions() !== taken) right.call(this, object);
            },
        ),
      ];
      return () => {
        for (const each of takeOut) each();
      };
    },
  },
  {
    // Nobody looks for it, until all is closed.
    bug: 'a domain that is freed stays in the list',
    breaches: ['left over'],
    plant: () =>
      replace(
        Domain.prototype,
        'destroy',
        (right) =>
          function (this: Domain) {
            right.call(this);
            this.iommu.domains.add(this);
          },
      ),
  },
  ...PLANTED_CPU,
  ...PLANTED_AUDIT,
  {
    bug: 'an automatic IOVA is one page too high',
    breaches: ['answer', 'areas', 'calls', 'one MMIO range', 'sub-page offsets correct'],
    plant: () =>
      replace(
        Machine.prototype,
        'execute',
        (right) =>
          function (this: Machine, command) {
            const result = right.call(this, command);
            if (!('ok' in result) || result.ok.iova === undefined) return result;
            return { ok: { iova: result.ok.iova + 0x1000n } };
          },
      ),
  },
];
