/** EGM: host memory by a character device, without a buffer, and what iommufd and type 1 say of it. */
import { describe, expect, test } from 'vitest';
import { isErrno } from '../../impl/kernel/errno.ts';
import { touch } from '../../impl/kernel/fault.ts';
import { mmap } from '../../impl/kernel/mmap.ts';
import { u64 } from '../../impl/kernel/units.ts';
import type { Vma } from '../../impl/kernel/vma.ts';
import { Egm, type EgmVersion } from '../../impl/vfio/egm.ts';
import type { Errno } from '../../trace/answer.ts';
import { IOVA, P, Type1Rig } from './type1-rig.ts';

/** Beyond all RAM that the kernel has. */
const CARVE_OUT = { phys: 0x20_0000_0000, size: 0x4000 };

class EgmRig extends Type1Rig {
  readonly egm: Egm;

  constructor(version: EgmVersion = 'later', size = CARVE_OUT.size) {
    super();
    this.egm = new Egm({ ...CARVE_OUT, size }, version);
  }

  /** Open it, and map it. */
  mmap(npages: number, { page = 0, shared = true } = {}): Vma | Errno {
    const file = this.within(() => this.egm.open());
    const vma = this.call(mmap(this.mm, file, { length: u64(npages, 0), offset: u64(page, 0), shared }));
    this.within(() => file.put());
    return vma;
  }

  must4(): Vma {
    const vma = this.mmap(4);
    if (isErrno(vma)) throw new Error(vma);
    return vma;
  }
}

describe('a mapping of egm', () => {
  test('is filled at once, and cached', () => {
    const rig = new EgmRig();
    const { startPage, pageProt } = rig.must4();
    const leaves = rig.mm.pageTable.leaves().map(({ page, pfn }) => [page - startPage, pfn * Number(P)]);
    expect(leaves).toEqual([0, 1, 2, 3].map((i) => [i, CARVE_OUT.phys + i * Number(P)]));
    expect(pageProt.type).toBe('WB');
    expect(rig.machine.audit()).toEqual([]);
  });

  test.each<readonly [string, number, { page?: number; shared?: boolean }, string]>([
    ['all of it', 4, {}, 'ok'],
    ['its last page', 1, { page: 3 }, 'ok'],
    ['a page more than there is', 5, {}, 'EINVAL'],
    ['the page behind it', 1, { page: 4 }, 'EINVAL'],
    ['its last page and the one behind', 2, { page: 3 }, 'EINVAL'],
    ['a private mapping', 1, { shared: false }, 'EINVAL'],
  ])('%s', (_, npages, how, answer) => {
    const vma = new EgmRig().mmap(npages, how);
    expect(isErrno(vma) ? vma : 'ok').toBe(answer);
  });

  test('by the first version may begin at its last page, and show what is behind it', () => {
    const rig = new EgmRig('first');
    const vma = rig.mmap(2, { page: 3 });
    if (isErrno(vma)) throw new Error(vma);
    const beyond = rig.mm.pageTable.translate(vma.startPage + 1) ?? 0;
    expect(beyond * Number(P)).toBe(CARVE_OUT.phys + CARVE_OUT.size);
  });

  test('by the second opener of the first version follows NULL; of the later one it does not', () => {
    const first = new EgmRig('first');
    first.must4();
    expect(() => first.mmap(1)).toThrow('a second opener of egm has no private data');
    const later = new EgmRig();
    later.must4();
    expect(isErrno(later.mmap(1))).toBe(false);
  });

  test('leaves nothing when memory for a table cannot be had', () => {
    const rig = new EgmRig('later', 0x20_1000);
    // The third is one for the last page, when all others are there.
    for (const nth of [1, 2, 3]) {
      rig.machine.kernel.faults.arm(nth, 'pte_alloc');
      expect(rig.mmap(0x201)).toBe('ENOMEM');
      expect([rig.mm.pageTable.leaves(), rig.mm.pageTable.tables, rig.mm.vmas]).toEqual([[], [], []]);
    }
  });

  test('stays as it is whatever a device does; what was zapped from without faults for good', () => {
    const rig = new EgmRig();
    const { startPage, lastPage } = rig.must4();
    rig.must({ do: 'vfio_memory', dev: 'dev0', enable: false });
    rig.must({ do: 'vfio_close', dev: 'dev0' });
    expect(rig.mm.pageTable.leaves()).toHaveLength(4);
    rig.mm.pageTable.zap(startPage, lastPage);
    expect(rig.call(touch(rig.mm, startPage, startPage))).toBe('SIGBUS');
  });
});

describe('DMA to egm', () => {
  test('by IOAS_MAP is EFAULT, because nothing of it can be pinned', () => {
    const rig = new EgmRig();
    const vma = rig.must4();
    rig.must({ do: 'vfio_close', dev: 'dev0' });
    rig.must({ do: 'vfio_close', dev: 'dev1' });
    rig.must({ do: 'fd_close', fd: 'container' });
    rig.must({ do: 'iommufd_open', as: 'ctx' });
    rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'a' });
    rig.must({ do: 'vfio_open', dev: 'dev1' });
    rig.must({ do: 'vfio_bind', dev: 'dev1', ctx: 'ctx' });
    rig.must({ do: 'vfio_attach', dev: 'dev1', pt: 'a' });
    rig.machine.names.set('egm', { kind: 'mem', address: u64(vma.startPage, 0), length: u64(4, 0) });
    const map = { do: 'ioas_map', ioas: 'a', mem: 'egm', offset: 0n, length: P, prot: 'rw', iova: IOVA } as const;
    expect(rig.machine.execute(map)).toEqual({ err: 'EFAULT' });
    expect(rig.reach).toEqual([]);
  });

  test('by type 1 goes there, by its page numbers, and pins nothing', () => {
    const rig = new EgmRig();
    expect(rig.map(rig.must4(), { size: 4n * P })).toBe('ok');
    expect(rig.calls).toEqual(['map 0x4000']);
    expect(rig.machine.domainOf('dev1')?.translate(u64(Number(IOVA / P), 0))).toBe(CARVE_OUT.phys);
    expect(rig.pinned).toBe(0);
  });
});
