/** Bugs in what the CPU has mapped. */
import { AddressSpace } from '../../impl/kernel/address-space.ts';
import { CpuPageTable } from '../../impl/kernel/cpu-page-table.ts';
import { type Planted, replace, underRevoke } from './plant.ts';

export const PLANTED_CPU: readonly Planted[] = [
  {
    bug: 'a revoke leaves the page tables of processes alone',
    breaches: ['never mapped while revoked'],
    plant: () =>
      replace(
        CpuPageTable.prototype,
        'zap',
        (right) =>
          function (this: CpuPageTable, first, last) {
            if (!underRevoke()) right.call(this, first, last);
          },
      ),
  },
  {
    // A touch changes nothing in the model, so only what the implementation tells of itself can make anybody look.
    bug: 'a touched page is mapped in its neighbour as well',
    breaches: ['reach'],
    plant: () =>
      replace(
        CpuPageTable.prototype,
        'insert',
        (right) =>
          function (this: CpuPageTable, leaf) {
            if (leaf.order === 0 && this.isNone(leaf.page + 1, 0)) right.call(this, { ...leaf, page: leaf.page + 1 });
            return right.call(this, leaf);
          },
      ),
  },
  {
    bug: 'a mapping that goes stays in the tree of its file',
    breaches: ['audit', 'splat', 'crash'],
    plant: () =>
      replace(
        AddressSpace.prototype,
        'unlink',
        () =>
          function (this: AddressSpace, vma) {
            vma.node = undefined;
          },
      ),
  },
];
