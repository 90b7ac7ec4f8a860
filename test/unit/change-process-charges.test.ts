/** IOMMU_IOAS_CHANGE_PROCESS: whose pages count afterwards (T-60). Source: iommufd 1.4, 2.17 */
import { describe, expect, test } from 'vitest';
import { handOverToCaller } from '../../impl/iommufd/accounting.ts';
import { ioasChangeProcess } from '../../impl/iommufd/change-process.ts';
import type { Process } from '../../impl/kernel/process.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { MEMORY } from './access-rig.ts';
import { mapFileOf, Rig } from './iommufd-rig.ts';

const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
/** Four pages of a memfd, pinned by a domain. */
const MEMFD: Command = { ...mapFileOf(), fd: 'f', length: 0x4000n };
const PINNED = 4;

/** A parent has pinned a file, and its child, of another user or the same, asks for it. */
class Family {
  readonly rig = new Rig();
  readonly parent: Process;
  readonly child: Process;

  constructor(mode: 'user' | 'mm', sameUser = false) {
    const { machine } = this.rig;
    this.parent = machine.process;
    this.parent.capIpcLock = false;
    this.rig.must(...MEMORY, attach);
    this.rig.ioas().ctx.accountMode = mode;
    this.rig.must(MEMFD);
    this.child = machine.addProcess('child', sameUser ? this.parent.user : machine.addUser('nobody'));
    machine.runAs(this.child);
  }

  change(): unknown {
    const answer = this.rig.call(ioasChangeProcess(this.rig.ioas().ctx, 0, handOverToCaller));
    this.rig.expectAtRest();
    return answer;
  }

  limit(pages: number): void {
    this.child.rlimitMemlock = fromBigint(BigInt(pages) * 0x1000n);
  }

  /** Of a process: what its user, and it itself, has locked, and what is pinned for it. */
  charged({ user, mm }: Process): [user: number, locked: number, pinned: number] {
    return [user.lockedVm, mm.lockedVm, mm.pinnedVm];
  }
}

describe.each(['user', 'mm'] as const)('CHANGE_PROCESS, where the %s is charged,', (mode) => {
  const full = mode === 'user' ? [PINNED, 0, PINNED] : [0, PINNED, PINNED];
  const none = [0, 0, 0];

  test('moves the charge to the caller, who gives it back when all is closed', () => {
    const it = new Family(mode);
    expect([it.charged(it.parent), it.charged(it.child)]).toEqual([full, none]);
    it.limit(PINNED);
    expect(it.change()).toBeUndefined();
    expect([it.charged(it.parent), it.charged(it.child)]).toEqual([none, full]);
    it.rig.must({ do: 'ioas_unmap', ioas: 'ioas', iova: 0n, length: (1n << 64n) - 1n });
    expect([it.charged(it.parent), it.charged(it.child)]).toEqual([none, none]);
  });

  test('is ENOMEM above the limit of the caller by a page, and changes nothing', () => {
    const it = new Family(mode);
    it.limit(PINNED - 1);
    expect(it.change()).toBe('ENOMEM');
    expect([it.charged(it.parent), it.charged(it.child)]).toEqual([full, none]);
  });

  test('is ENOMEM when the charge fails, and succeeds when it is tried again', () => {
    const it = new Family(mode);
    const { faults } = it.rig.machine.kernel;
    faults.arm(1, 'charge_current');
    expect(it.change()).toBe('ENOMEM');
    expect([it.charged(it.parent), it.charged(it.child)]).toEqual([full, none]);
    expect(it.change()).toBeUndefined();
    expect([it.charged(it.parent), it.charged(it.child)]).toEqual([none, full]);
  });

  test('charges nobody twice: what counts for the caller already needs no room', () => {
    const it = new Family(mode);
    expect(it.change()).toBeUndefined();
    it.limit(0);
    expect([it.change(), it.charged(it.child)]).toEqual([undefined, full]);
  });
});

test('CHANGE_PROCESS to another process of the same user moves what is pinned, and needs no room of the user', () => {
  const it = new Family('user', true);
  it.limit(0);
  expect(it.change()).toBeUndefined();
  expect([it.charged(it.parent), it.charged(it.child)]).toEqual([
    [PINNED, 0, 0],
    [PINNED, 0, PINNED],
  ]);
});
