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
    bug: 'munmap leaves the page table of the process alone',
    breaches: ['reach', 'audit', 'never mapped while revoked'],
    plant: () =>
      replace(
        CpuPageTable.prototype,
        'zap',
        (right) =>
          function (this: CpuPageTable, first, last) {
            if (underRevoke()) right.call(this, first, last);
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
