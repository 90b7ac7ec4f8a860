/** What takes the memory away: V-22 to V-32. */
import { check, edit, proof, type Row, test } from './row.ts';
import * as at from './vfio-places.ts';

const table = check('property', 'test/unit/trigger-rows.ts', 'TRIGGERS');
const resets = check('property', 'test/unit/trigger-rows-reset.ts', 'resets');
const places = check('property', 'test/unit/vfio-hot-reset.test.ts', 'hot reset of four members');
const RESET_GIVES_BACK = '    yield* restoreIfEnabled(device);\n    return failed;';
const UNLOCK = 'if (member.openCount !== 0) yield* restoreIfEnabled(member);';
const RESUME = 'if (device.wakeEventfd !== undefined) disengage(device);';

export const triggers: readonly Row[] = [
  {
    id: 'V-22',
    says: 'VFIO_DEVICE_RESET of a function that cannot be reset is EINVAL; nobody is called, nothing is zapped.',
    checks: [resets, at.rules],
    proofs: [
      proof(
        'whether the function can be reset is found out by the reset',
        edit(at.RESET, "  if (!device.resetWorks) return 'EINVAL';\n", ''),
        at.resetTrigger('VFIO_DEVICE_RESET without a way to reset is EINVAL, and nothing happens'),
      ),
    ],
  },
  {
    id: 'V-23',
    says: 'After VFIO_DEVICE_RESET, whether it worked or not, buffers are usable just if the function answers.',
    checks: [at.ghost, at.rules, resets],
    proofs: [
      proof(
        'a reset that fails gives nothing back',
        edit(
          at.RESET,
          RESET_GIVES_BACK,
          `    if (failed === undefined) yield* restoreIfEnabled(device);\n    return failed;`,
        ),
        at.resetTrigger('VFIO_DEVICE_RESET that fails gives back all the same'),
      ),
      proof(
        'a reset gives back in any case',
        edit(at.RESET, RESET_GIVES_BACK, '    yield* vfioPciDmaBufMove(device, false);\n    return failed;'),
        at.resetTrigger('VFIO_DEVICE_RESET with memory off gives nothing back'),
      ),
    ],
  },
  {
    id: 'V-24',
    says: 'When a write that turns memory off returns, nothing reaches the BARs: no DMA by a buffer, and no CPU.',
    checks: [at.ghost, at.rules, table, at.auditDevices],
    proofs: [
      proof(
        'memory off takes nothing back',
        edit(at.CONFIG, '      yield* takeBack(device);\n    }\n    if (wasReset', '    }\n    if (wasReset'),
        at.trigger('memory off zaps and revokes before the register is written'),
      ),
      proof(
        'what takes the memory back leaves the CPU its entries',
        edit('impl/vfio/take-back.ts', '  if (!buffersFirst) yield* zapBars(device);\n', ''),
        at.entries('memory off'),
      ),
      proof(
        'any byte of PCI_COMMAND is taken for the lower one',
        edit(at.CONFIG, '  if (offset !== PCI_COMMAND) {', '  if (offset < PCI_COMMAND || offset > PCI_COMMAND + 1) {'),
        at.cornerCase('C14', 'a write of the upper byte of PCI_COMMAND is no trigger, whatever its bits'),
      ),
    ],
  },
  {
    id: 'V-25',
    says: 'A write that turns memory on makes buffers usable just if the function is not in D3hot.',
    checks: [at.ghost, at.rules, table],
    proofs: [
      proof(
        'a function in D3hot is taken to answer',
        edit(at.DEVICE, 'return device.power < PCI_D3HOT && (', 'return device.power <= PCI_D3HOT && ('),
        at.trigger('memory on in D3hot gives nothing back'),
      ),
      proof(
        'memory on gives nothing back',
        edit(
          at.CONFIG,
          'writeCommand(device, count === 1 ? 0x00ff : 0xffff, value);\n    yield* restoreIfEnabled(device);',
          'writeCommand(device, count === 1 ? 0x00ff : 0xffff, value);',
        ),
        at.trigger('memory on gives back when the register is written'),
      ),
    ],
  },
  {
    id: 'V-26',
    says: 'A write that turns memory on, of a function that answers, calls no importer.',
    checks: [at.rules, table],
    proofs: [
      proof(
        'every write of PCI_COMMAND takes the memory back',
        edit(at.CONFIG, '    if (!memory) {', '    if (!memory || value > 0) {'),
        at.trigger('memory on, while on, calls nobody'),
      ),
    ],
  },
  {
    id: 'V-27',
    says: 'D1 and D2 never revoke; D3hot always does, even where it is refused.',
    checks: [at.ghost, at.rules, table],
    proofs: [
      proof(
        'every state but D0 takes the memory back',
        edit(at.POWER, '    if (state >= PCI_D3HOT) {', '    if (state > PCI_D0) {'),
        at.trigger('D2 neither zaps nor revokes', 'neither zaps nor revokes'),
      ),
      proof(
        'D3hot takes the memory back once it is reached',
        edit(
          at.POWER,
          '    if (state >= PCI_D3HOT) {\n      yield* takeBack(device);\n    }\n    setPowerState(device, state);',
          '    if (setPowerState(device, state) === undefined && state >= PCI_D3HOT) yield* takeBack(device);',
        ),
        at.trigger('D3hot of a function that has no D3hot revokes and gives back'),
      ),
    ],
  },
  {
    id: 'V-28',
    says: 'Low power entry always revokes, also where it is EINVAL because low power was entered before.',
    checks: [at.ghost, at.rules, table],
    proofs: [
      proof(
        'low power that was entered is refused first',
        edit(
          at.POWER,
          "    yield* takeBack(device);\n    if (device.engaged) return 'EINVAL';",
          "    if (device.engaged) return 'EINVAL';\n    yield* takeBack(device);",
        ),
        at.cornerCase('C5', 'a second lpEnter is EINVAL, and revokes what was given back in between'),
      ),
    ],
  },
  {
    id: 'V-29',
    says: 'A wakeup gives nothing back; low power exit does, just if the function answers.',
    checks: [at.ghost, at.rules, table],
    proofs: [
      proof(
        'a wakeup gives the buffers back',
        edit(
          at.POWER,
          RESUME,
          `if (device.wakeEventfd !== undefined) {
      disengage(device);
      yield* restoreIfEnabled(device);
    }`,
        ),
        at.cornerCase('C4', 'a wakeup disengages and lets the CPU in; only lpExit gives the buffer back'),
      ),
      proof(
        'low power exit gives nothing back',
        edit(at.POWER, '    disengage(device);\n    yield* restoreIfEnabled(device);', '    disengage(device);'),
        at.trigger('lpExit disengages, and gives back'),
      ),
    ],
  },
  {
    id: 'V-30',
    says: 'However a hot reset ends, every memory_lock is free, and open members that answer have usable buffers.',
    checks: [at.ghost, at.rules, places],
    proofs: [
      proof(
        'a hot reset that fails gives nothing back',
        edit(
          at.HOT_RESET,
          '  while (locked > 0) yield* unlockMember(members[--locked] as VfioPciDevice);',
          `  if (failed === undefined) while (locked > 0) yield* unlockMember(members[--locked] as VfioPciDevice);
  while (locked > 0) members[--locked]?.memoryLock.releaseWrite();`,
        ),
        at.hotReset('third', 'somebody holds its memory_lock', 'EBUSY'),
      ),
      proof(
        'the first member stays locked',
        edit(at.HOT_RESET, 'while (locked > 0) yield* unlock', 'while (locked > 1) yield* unlock'),
        at.hotReset('last', 'another iommufd has it', 'EINVAL'),
      ),
    ],
  },
  {
    id: 'V-31',
    says: 'A hot reset never looks at the configuration of a member that nobody has open.',
    checks: [check('splat', at.DEVICE, 'is not open: no vconfig'), places],
    proofs: [
      proof(
        'buffers are given back to every member that answers',
        edit(at.MEMBER, UNLOCK, 'yield* restoreIfEnabled(member);'),
        test(
          'test/unit/vfio-hot-reset.test.ts',
          'hot reset of four members does not ask the second for its configuration, when nobody has it open',
          'does not ask the %s for its configuration, when nobody has it open',
        ),
      ),
      proof('the same, in random sequences', edit(at.MEMBER, UNLOCK, 'yield* restoreIfEnabled(member);'), at.sequences),
    ],
  },
  {
    id: 'V-32',
    says: 'A hot reset never waits for the memory_lock of a member; it is EBUSY.',
    checks: [places, at.rules],
    proofs: [
      proof(
        'a hot reset waits until the lock is free',
        edit(
          at.MEMBER,
          '  if (!member.memoryLock.tryWrite())',
          `  const { write } = member.memoryLock;
  while (!write.ready()) yield { ...preempt, ready: () => write.ready() };
  if (!member.memoryLock.tryWrite())`,
        ),
        at.hotReset('first', 'somebody holds its memory_lock', 'EBUSY'),
      ),
    ],
  },
];
