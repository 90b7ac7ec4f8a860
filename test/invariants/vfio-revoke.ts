/** Revoke, and what it waits for: V-08 to V-16. */
import { check, edit, proof, type Row } from './row.ts';
import * as at from './vfio-places.ts';

const waitTests = check('property', 'test/unit/vfio-revoke.test.ts', 'a revoke waits');
const deadToken = check('splat', 'impl/kernel/kref.ts', 'put below zero');
const IF_CHANGED = 'if (transitionOf(priv.state, event).next !== priv.state) yield* follow(priv, event);';
const MAP_ASKS =
  "    const refused = refusalOf(priv, 'import');\n    if (refused !== undefined) return refused;\n    const table";
const ATTACH_ASKS =
  "    const refused = refusalOf(privOf(dmabuf), 'import');\n    if (refused !== undefined) return refused;\n";
const WAIT_FOR_FENCES = 'if (waits()) yield* dmabuf.resv.wait(USAGE.BOOKKEEP);';

export const revokes: readonly Row[] = [
  {
    id: 'V-08',
    says: 'With memory_lock free, a buffer of an open device is revoked as the last column of the triggers leaves it.',
    checks: [at.ghost, at.rules],
    proofs: [
      proof(
        'what is exported in low power is born revoked',
        edit(
          at.LIST,
          'priv.status = memoryEnabled(device) ?',
          'priv.status = memoryEnabled(device) && !device.engaged ?',
        ),
        at.sequences,
      ),
      proof(
        'a write of PCI_COMMAND that fails gives back what it has revoked',
        edit(
          at.CONFIG,
          "    if (shouldFail('pci_user_write_config_word')) return 'EIO';",
          `    if (shouldFail('pci_user_write_config_word')) {
      yield* restoreIfEnabled(device);
      return 'EIO';
    }`,
        ),
        at.sequences,
      ),
      proof(
        'whether a function answers is a matter of low power, too',
        edit(
          at.DEVICE,
          'return device.power < PCI_D3HOT && (',
          'return !device.engaged && device.power < PCI_D3HOT && (',
        ),
        at.sequences,
      ),
    ],
  },
  {
    id: 'V-09',
    says: 'While a buffer is revoked, attach, map, and the map of iommufd are ENODEV.',
    checks: [at.states, at.rules],
    proofs: [
      proof(
        'a revoked buffer is mapped',
        edit(at.EXPORT, MAP_ASKS, '    const table'),
        at.attachTest('of an importer outlives a revoke, and maps again without attaching again'),
      ),
      proof('importers attach to a revoked buffer', edit(at.EXPORT, ATTACH_ASKS, ''), at.sequences),
      proof(
        'iommufd is told of a revoked buffer where it lies',
        edit(
          at.EXPORT,
          "  const refused = refusalOf(priv, 'import');\n  if (refused !== undefined) return refused;\n  return priv",
          '  return priv',
        ),
        at.interconnect('of one range while revoked', 'ENODEV'),
      ),
    ],
  },
  {
    id: 'V-10',
    says: 'When a revoke returns, no DMA map of the buffer is there.',
    checks: [at.rules, waitTests],
    proofs: [
      proof(
        'a revoke drops the token, and does not wait for the others',
        edit(at.TOKEN, '  putToken(token);\n  yield token.comp;', '  if (token.kref.count === 1) putToken(token);'),
        at.waits('for the last of several unmaps, with resv free and memory_lock held'),
      ),
    ],
  },
  {
    id: 'V-11',
    says: 'When a revoke returns, every fence that was there at its callback has signaled, whatever its usage.',
    checks: [at.rules, waitTests],
    proofs: [
      proof(
        "a revoke waits for the kernel's own fences alone",
        edit(at.REVOKE, WAIT_FOR_FENCES, WAIT_FOR_FENCES.replaceAll('BOOKKEEP', 'KERNEL')),
        at.waits(
          'for a fence of usage WRITE (1), and returns when it signals',
          'for a fence of usage %s (%d), and returns when it signals',
        ),
      ),
      proof('a revoke waits for no fence', edit(at.REVOKE, WAIT_FOR_FENCES, ''), at.sequences),
    ],
  },
  {
    id: 'V-12',
    says: 'A revoke never gives up waiting.',
    checks: [waitTests],
    proofs: [
      proof(
        'a revoke gives up when it has looked a few times',
        edit(
          at.TOKEN,
          '  yield token.comp;',
          `  const jiffy = { name: 'jiffy', ready: () => true, enter: () => {} };
  for (let i = 0; i < 9 && !token.comp.ready(); i++) yield jiffy;`,
        ),
        at.waits('for ever, if an importer never unmaps: there is no timeout'),
      ),
    ],
  },
  {
    id: 'V-13',
    says: 'The token is 1 and one for each DMA map; while a revoke drains it, only those.',
    checks: [at.rules, at.auditDevices],
    proofs: [
      proof(
        'a map that fails is counted',
        edit(at.EXPORT, 'if (!isErrno(table)) priv.kref.get();', 'priv.kref.get();'),
        at.mapTest('that fails takes no token, so a revoke has nothing to wait for'),
      ),
      proof(
        'an unmap is not counted',
        edit(at.EXPORT, '    freeSgt(table);\n    putToken(priv);', '    freeSgt(table);'),
        at.mapTest('takes a token, and unmap gives it back'),
      ),
    ],
  },
  {
    id: 'V-14',
    says: 'A revoke drops the one of its own once, and takes it anew before it lets go of memory_lock.',
    checks: [at.rules, at.auditDevices, deadToken],
    proofs: [
      proof(
        'the token stays at 0',
        edit(at.TOKEN, '  kref.rearm();\n  comp.reset();', '  comp.reset();'),
        at.token('is re-armed when the revoke returns'),
      ),
      proof(
        'the completion stays complete',
        edit(at.TOKEN, '  kref.rearm();\n  comp.reset();', '  kref.rearm();'),
        at.token('counts again after an un-revoke, so the second revoke waits too'),
      ),
    ],
  },
  {
    id: 'V-15',
    says: 'To revoke what is revoked, or to give back what is usable, does nothing.',
    checks: [at.states, at.rules],
    proofs: [
      proof(
        'what is usable is given back again',
        edit(at.REVOKE, IF_CHANGED, 'yield* follow(priv, event);'),
        at.cornerCase('C12', 'memory on twice calls nobody the second time'),
      ),
    ],
  },
  {
    id: 'V-16',
    says: 'A close ends, whatever was revoked before, and drops the registration of each buffer once.',
    checks: [at.auditDevices, deadToken],
    proofs: [
      proof(
        'a close drains what is drained already',
        edit(
          at.REVOKE,
          '      priv.vdev = undefined;\n',
          '      priv.vdev = undefined;\n      if (priv.kref.put()) priv.comp.complete();\n',
        ),
        at.token('is not drained a second time by the close of a device whose buffer is revoked already'),
      ),
      proof(
        'a close drops each registration twice',
        edit(
          at.REVOKE,
          '      putRegistration(device);\n',
          '      putRegistration(device);\n      putRegistration(device);\n',
        ),
        at.closing('revokes for good: the buffer forgets its device, and a second open does not revive it'),
      ),
    ],
  },
];
