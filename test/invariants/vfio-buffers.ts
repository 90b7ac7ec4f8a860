/** Lifetimes of buffers and devices: V-17 to V-21. */
import { check, edit, proof, type Row } from './row.ts';
import * as at from './vfio-places.ts';

const notListed = check('splat', at.LIST, 'is not on the list of');
const REVOKED_FOR_GOOD = 'revokes for good: the buffer forgets its device, and a second open does not revive it';

export const buffers: readonly Row[] = [
  {
    id: 'V-17',
    says: 'A buffer that has lost its device is revoked, on no list, and never has a device again.',
    checks: [at.rules, notListed, at.states],
    proofs: [
      proof(
        'a closed device keeps its buffers in mind',
        edit(at.REVOKE, '      priv.vdev = undefined;\n', ''),
        at.sequences,
      ),
      proof(
        'a closed device keeps its buffers on the list',
        edit(at.REVOKE, '      unlist(device, priv);\n', ''),
        at.closing(REVOKED_FOR_GOOD),
      ),
    ],
  },
  {
    id: 'V-18',
    says: 'There are as many registrations of buffers as there are buffers with a device.',
    checks: [at.rules, at.auditDevices],
    proofs: [
      proof(
        'a close keeps the registrations of the buffers',
        edit(at.REVOKE, '      putRegistration(device);\n', ''),
        at.closing(REVOKED_FOR_GOOD),
      ),
      proof(
        'a release keeps its registration',
        edit(at.EXPORT, '    putRegistration(device);\n  }\n  priv.vfile?.put();', '  }\n  priv.vfile?.put();'),
        at.endOfBuffer('closing the descriptor takes it off the list and puts its registration, once'),
      ),
      at.registrationsMiscounted,
    ],
  },
  {
    id: 'V-19',
    says: 'A buffer is released once, and never by who holds memory_lock.',
    checks: [notListed, check('lock assertion', 'impl/kernel/lockdep.ts', 'same class')],
    proofs: [
      proof(
        'a revoke takes a reference of a buffer that is on its way out',
        edit(
          at.REVOKE,
          '    if (!file.getActive()) continue;\n    if (transitionOf(priv.state, event)',
          '    file.get();\n    if (transitionOf(priv.state, event)',
        ),
        at.move('passes over a buffer whose last reference is gone, whose own release takes it off the list'),
      ),
      proof(
        'the last reference that a revoke drops releases the buffer there and then',
        edit(
          at.REVOKE,
          ' yield* follow(priv, event);\n    file.put();',
          ` yield* follow(priv, event);
    file.put();
    for (const work of current().work.splice(0)) yield* work();`,
        ),
        at.move('that drops the last reference leaves the release to the end of its own system call'),
      ),
    ],
  },
  {
    id: 'V-20',
    says: 'The close of a descriptor of a buffer changes no other buffer, and not the device.',
    checks: [at.rules, at.ghost],
    proofs: [
      proof(
        'a release empties the list',
        edit(at.EXPORT, '      unlist(device, priv);', '      device.dmabufs.length = 0;'),
        at.endOfBuffer('closing the descriptor takes it off the list and puts its registration, once'),
      ),
      proof(
        'a release revokes what is left',
        edit(
          at.EXPORT,
          '      unlist(device, priv);',
          "      unlist(device, priv);\n      for (const other of device.dmabufs) other.status = 'TEMP_REVOKED';",
        ),
        at.sequences,
      ),
    ],
  },
  {
    id: 'V-21',
    says: 'What a close of the device has taken back is of no use ever after, whoever opens the device again.',
    checks: [at.states, at.rules],
    proofs: [
      proof(
        'a close revokes, and leaves the rest to whoever closes the buffers',
        edit(
          at.REVOKE,
          'for (const priv of [...device.dmabufs]) {',
          'for (const priv of device.dmabufs.slice(device.dmabufs.length)) {',
        ),
        at.closing(REVOKED_FOR_GOOD),
      ),
    ],
  },
];
