/** The permanent revoke: V-52 to V-55. */
import { check, edit, proof, type Row } from './row.ts';
import { atOnce, auditMappings, forGood, inTable, racesAtOnce, series } from './vfio-places.ts';

const STATUS = 'impl/vfio/pci-dmabuf-status.ts';
const FEATURE = 'impl/vfio/pci-dmabuf-feature.ts';
const BUFFER = 'impl/vfio/pci-dmabuf.ts';

const inEngine = check('refusal', FEATURE, 'revokeForGood');

const FROM_TEMP = ".with(['TEMP_REVOKED', 'DMA_BUF_REVOKE'], () => to('PERM_REVOKED'))";
const NO_WAIT = 'of a buffer that is revoked for now waits for nothing, and leaves the token alone';
const AFTER = "after: ['drain', 'zap', 're-arm'] } as const;";

export const revokedForGood: readonly Row[] = [
  {
    id: 'V-52',
    says: 'Revoked for good is for ever: nothing leads back, and to ask again is EBADFD; by another device, ENODEV.',
    checks: [inTable, inEngine, racesAtOnce],
    proofs: [
      proof(
        'the memory that is back revives what was revoked for good',
        edit(
          STATUS,
          ".with(['PERM_REVOKED', P.union('move(true)', 'move(false)')], () => to('PERM_REVOKED'))",
          `.with(['PERM_REVOKED', 'move(true)'], () => to('PERM_REVOKED'))
    .with(['PERM_REVOKED', 'move(false)'], () => to('OK'))`,
        ),
        forGood('outlasts a reset', 'a revoke for good', 'outlasts %s', 'a reset'),
      ),
      proof(
        'who asks again is told that it was done',
        edit(STATUS, "() => refused('PERM_REVOKED', 'EBADFD'))", "() => to('PERM_REVOKED'))"),
        series('T5: a second revoke is EBADFD'),
      ),
      proof(
        'any device may revoke the buffer',
        edit(FEATURE, 'if (priv?.vdev === device) return priv;', 'if (priv !== undefined) return priv;'),
        forGood('is by the device that exported the buffer, and by no other'),
      ),
    ],
  },
  {
    id: 'V-53',
    says: 'A revoke for good of a buffer that is usable, or revoked for now, succeeds, once for each buffer.',
    checks: [inTable, inEngine, racesAtOnce],
    proofs: [
      proof(
        'what is revoked for now cannot be revoked for good',
        edit(STATUS, FROM_TEMP, ".with(['TEMP_REVOKED', 'DMA_BUF_REVOKE'], () => refused('TEMP_REVOKED', 'EBADFD'))"),
        forGood(NO_WAIT),
      ),
      proof(
        'the status is asked before memory_lock is there',
        edit(
          FEATURE,
          `  yield device.memoryLock.write;
  try {
    const { answer } = transitionOf(priv.state, 'DMA_BUF_REVOKE');`,
          `  const { answer } = transitionOf(priv.state, 'DMA_BUF_REVOKE');
  yield device.memoryLock.write;
  try {`,
        ),
        atOnce('R11: two revokes for good'),
      ),
    ],
  },
  {
    id: 'V-54',
    says: 'A revoke for good is of one buffer; what else lies over the same memory works on.',
    checks: [inEngine],
    proofs: [
      proof(
        'it takes all buffers of the device',
        edit(
          FEATURE,
          "if (answer === undefined) yield* follow(priv, 'DMA_BUF_REVOKE');",
          "if (answer === undefined) for (const each of device.dmabufs) yield* follow(each, 'DMA_BUF_REVOKE');",
        ),
        series('T4: a mapping of the BAR over the same range works on, without a fault and with one'),
      ),
    ],
  },
  {
    id: 'V-55',
    says: 'After a revoke for good no process has an entry of the buffer, nobody a map, and nobody gets either again.',
    checks: [inTable, auditMappings, racesAtOnce],
    proofs: [
      proof(
        'the entries of the CPU stay',
        edit(STATUS, AFTER, "after: ['drain', 're-arm'] } as const;"),
        series('T3: a touch of a buffer that was revoked for good is SIGBUS, even of a page that was there'),
      ),
      proof(
        'mmap does not ask for the status',
        edit(BUFFER, "features.mmapNeedsUsable ? refusalOf(priv, 'mmap') : undefined;", 'undefined;'),
        series('T6: mmap of the revoked buffer is ENODEV'),
      ),
    ],
  },
];
