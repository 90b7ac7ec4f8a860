/** CPU mappings of BARs, locks, fences: V-46 to V-51. */
import { check, edit, proof, type Row, test } from './row.ts';
import * as at from './vfio-places.ts';

const mmapTest = (title: string, ...of: readonly string[]) => test('test/unit/vfio-mmap.test.ts', title, ...of);
const locksOf = (operation: string) =>
  test(
    'test/unit/lock-table-vfio.test.ts',
    `${operation} takes the locks of its row, in that order`,
    '%s takes the locks of its row, in that order',
    operation,
  );
const lockdep = check('lock assertion', 'impl/kernel/lockdep.ts', 'DOCUMENTED_ORDER');

export const barMappings: readonly Row[] = [
  {
    id: 'V-46',
    says: 'A BAR is mapped whether or not the function answers; while it does not, a touch is SIGBUS.',
    checks: [at.ghost, at.rules],
    proofs: [
      proof(
        'a BAR is not mapped in low power',
        edit(
          at.BARS,
          '  if (device.barErr[index] !== undefined) return device.barErr[index];',
          `  if (device.engaged) return 'ENODEV';
  if (device.barErr[index] !== undefined) return device.barErr[index];`,
        ),
        mmapTest(
          'mmap of a BAR succeeds whether or not the device answers, and makes no entry',
          'mmap of a BAR',
          'succeeds whether or not the device answers, and makes no entry',
        ),
      ),
      proof(
        'a touch asks for low power alone',
        edit(
          at.BARS,
          "if (device.engaged || !memoryEnabled(device)) return 'SIGBUS';",
          "if (device.engaged) return 'SIGBUS';",
        ),
        at.entries('memory off'),
      ),
    ],
  },
  {
    id: 'V-47',
    says: 'With memory_lock free, the CPU has no entry for a BAR that does not answer, or in low power.',
    checks: [at.rules, check('property', 'properties/races/rules.ts', 'reachesBar'), at.auditDevices],
    proofs: [
      proof(
        'a touch asks whether the function answers, and not for low power',
        edit(
          at.BARS,
          "if (device.engaged || !memoryEnabled(device)) return 'SIGBUS';",
          "if (!memoryEnabled(device)) return 'SIGBUS';",
        ),
        at.entries('low power'),
      ),
      proof('a hot reset zaps nothing', edit(at.MEMBER, '  yield* zapLeft(member);\n', ''), at.sequences),
      proof(
        'who watches a race looks only where the trees of files lead',
        edit('properties/races/rules.ts', 'shut && reachesBar(machine, device)', 'shut && hasEntries(device.mapping)'),
        test(
          'test/unit/race-watch.test.ts',
          'an entry of a BAR that is off is told, also where no mapping of a file leads to it',
        ),
      ),
    ],
  },
  {
    id: 'V-48',
    says: 'Up to 7.3 a buffer is not mapped by the CPU, by a process or by the kernel; a pin has nothing to ask for.',
    checks: [
      check('refusal', at.EXPORT, 'features.mapsBuffers'),
      check('refusal', 'impl/dmabuf/dma-buf.ts', 'dmaBufVmap'),
    ],
    proofs: [
      proof(
        'the CPU maps buffers on every kernel',
        edit(at.EXPORT, "    if (!features.mapsBuffers) return 'EINVAL';\n", ''),
        mmapTest('mmap of a dma-buf is EINVAL, and holds nothing'),
      ),
      proof(
        'the exporter wants no pins',
        edit(
          at.EXPORT,
          '  release: vfioPciDmaBufRelease,',
          "  release: vfioPciDmaBufRelease,\n  pin: () => 'EOPNOTSUPP',\n  unpin: () => {},",
        ),
        test(
          'test/unit/vfio-importer.test.ts',
          'the kernel has no mapping of its own of a buffer, and pins it without asking',
          'the kernel',
          'has no mapping of its own of a buffer, and pins it without asking',
        ),
      ),
    ],
  },
  {
    id: 'V-49',
    says: 'Locks are taken in the documented order; nobody asks for memory_lock while he holds dma_resv.',
    checks: [lockdep, check('property', 'test/unit/lock-table-vfio.test.ts', 'ROWS')],
    proofs: [
      proof(
        'an export takes memory_lock within dma_resv',
        edit(
          at.LIST,
          '  yield device.memoryLock.write;\n  try {\n    yield priv.dmabuf.resv;\n    try {\n',
          '  yield priv.dmabuf.resv;\n  try {\n    yield device.memoryLock.write;\n    try {\n',
        ),
        locksOf('export'),
      ),
      proof(
        'a close lets go of memory_lock between revoke and forgetting',
        edit(
          at.REVOKE,
          '    yield* vfioPciDmaBufMove(device, true);\n    for (',
          `    yield* vfioPciDmaBufMove(device, true);
    device.memoryLock.releaseWrite();
    yield device.memoryLock.write;
    for (`,
        ),
        locksOf('close'),
      ),
    ],
  },
  {
    id: 'V-50',
    says: 'A driver goes when all registrations are dropped; an open buffer of a closed device does not keep it.',
    checks: [at.auditDevices, at.rules],
    proofs: [
      proof(
        'the driver waits for nobody',
        edit('impl/vfio/registration.ts', '  yield device.unregistered;\n', ''),
        test(
          'test/unit/vfio-device.test.ts',
          'unregistration waits for open files and for buffers of an open device, not for those of a closed one',
          'unregistration',
          'waits for open files and for buffers of an open device, not for those of a closed one',
        ),
      ),
      at.registrationsMiscounted,
    ],
  },
  {
    id: 'V-51',
    says: 'Room for a fence is made before it is added; a fence signals without the lock that its waiter holds.',
    checks: [check('splat', 'impl/dmabuf/resv.ts', 'no slot reserved for fence')],
    proofs: [
      proof(
        'a fence is added where no room was made',
        edit('impl/dmabuf/resv.ts', 'if (this.#reserved === 0) throw', 'if (this.#reserved < 0) throw'),
        test(
          'test/unit/dmabuf-resv.test.ts',
          'adding a fence needs a reserved slot',
          'adding a fence',
          'needs a reserved slot',
        ),
      ),
      proof(
        'fences are signaled when the lock is free',
        edit(
          'impl/dmabuf/resv.ts',
          'return this.#resv.testSignaled(this.#usage);',
          'return !this.#resv.locked && this.#resv.testSignaled(this.#usage);',
        ),
        test(
          'test/unit/dmabuf-resv.test.ts',
          'waiting for a usage a fence signals while somebody else holds the lock and waits for it',
          'waiting for a usage',
          'a fence signals while somebody else holds the lock and waits for it',
        ),
      ),
    ],
  },
];
