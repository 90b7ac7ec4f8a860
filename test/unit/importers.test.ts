import { describe, expect, test, vi } from 'vitest';
import { Fence, USAGE } from '../../impl/dmabuf/resv.ts';
import { syncFile } from '../../impl/dmabuf/sync-file.ts';
import {
  IMPORTER_KINDS,
  importerAttach,
  importerDetach,
  importerMap,
  importerPin,
  importerSubmit,
  importerUnmap,
} from '../../impl/importers/importer.ts';
import { Completion } from '../../impl/kernel/completion.ts';
import { featuresOf } from '../../impl/kernel/features.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { vfioConfigMemory } from '../../impl/vfio/ioctl.ts';
import { ImporterRig } from './importer-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

describe('attach', () => {
  const ANSWERS = {
    prompt: [undefined, 'ENODEV'],
    late: [undefined, 'ENODEV'],
    never: [undefined, 'ENODEV'],
    untold: ['EOPNOTSUPP', 'ENODEV'],
    'no peer': ['EOPNOTSUPP', 'EOPNOTSUPP'],
    static: ['EOPNOTSUPP', 'EOPNOTSUPP'],
  } as const;

  test.each(
    IMPORTER_KINDS.flatMap((kind) =>
      [false, true].map((revoked) => ({ kind, revoked, answer: ANSWERS[kind][revoked ? 1 : 0] })),
    ),
  )(
    'of a driver that is $kind, to a buffer that is revoked: $revoked, answers $answer',
    ({ kind, revoked, answer }) => {
      const it = new ImporterRig();
      if (revoked) it.rig.call(vfioConfigMemory(it.device, false));
      const importer = it.importer(kind);
      expect(it.rig.call(importerAttach(importer, it.rig.fds, it.buffer.fd))).toBe(answer);
      const joined = answer === undefined ? 1 : 0;
      expect(it.buffer.dmabuf.attachments).toHaveLength(joined);
      expect(it.buffer.dmabuf.file.refs.count).toBe(1 + joined);
    },
  );

  test('needs a descriptor, and of a buffer', () => {
    const it = new ImporterRig();
    const { rig } = it;
    const fd = rig.within(() => rig.fds.install(syncFile(new Fence('f', 1, 1)))) as number;
    expect(rig.call(importerAttach(it.importer('late'), rig.fds, 99))).toBe('EBADF');
    expect(rig.call(importerAttach(it.importer('late'), rig.fds, fd))).toBe('EINVAL');
  });

  test('6.19 lets a driver in that cannot be told, and revokes under it', () => {
    const it = new ImporterRig(featuresOf('6.19'));
    const untold = it.mapped('untold');
    expect(it.start('off', vfioConfigMemory(it.device, false))).toEqual(['off']);
    expect([untold.maps.length, it.callbacks]).toEqual([1, []]);
  });
});

describe('a map', () => {
  test('and every other call of a driver that is not attached is a splat', () => {
    const it = new ImporterRig();
    for (const call of [importerMap, importerUnmap, importerPin, importerDetach])
      expect(() => it.rig.call<unknown>(call(it.importer('late')))).toThrow('late is not attached');
  });

  test('of a dynamic importer waits for KERNEL fences with dma_resv held, and for no other', () => {
    const it = new ImporterRig();
    const [importer, other] = [it.attached('late'), it.attached('late', 'other')];
    it.working(importer, USAGE.WRITE);
    expect(it.start('map', importerMap(importer))).toEqual(['map']);
    const fence = it.working(importer, USAGE.KERNEL, 'move');
    it.start('map', importerMap(importer));
    it.start('other', importerMap(other));
    expect(it.waiting).toEqual([
      'map waits for fence move (KERNEL)',
      'other waits for dev0.dmabuf0.resv, held by map, which waits for fence move (KERNEL)',
    ]);
    fence.signal();
    expect(it.settle()).toEqual(['map', 'other']);
  });

  test('of a driver that detaches while its worker has yet to unmap: both let the revoke go on', () => {
    const it = new ImporterRig();
    const importer = it.mapped('prompt');
    const fence = it.working(importer, USAGE.READ);
    it.start('off', vfioConfigMemory(it.device, false));
    it.start('detach', importerDetach(importer));
    const held = 'dev0.dmabuf0.resv, held by off, which waits for fence work (READ)';
    expect(it.waiting.slice(1)).toEqual([`worker of prompt waits for ${held}`, `detach waits for ${held}`]);
    fence.signal();
    expect(it.settle()).toEqual(['worker of prompt', 'off', 'detach']);
  });

  // The detach ended the worker first, and only then wanted the lock: a callback in between queued it again.
  test('of a driver whose worker is queued while its detach waits for the lock: the worker ends first', () => {
    const it = new ImporterRig();
    const importer = it.mapped('prompt');
    const { resv } = it.buffer.dmabuf;
    const go = new Completion('go');
    function* hold(): Thread {
      yield resv;
      yield go;
      resv.release();
    }
    it.start('hold', hold());
    it.start('off', vfioConfigMemory(it.device, false));
    it.start('detach', importerDetach(importer));
    go.complete();
    // The revoke is first: its callback queues the worker.
    expect(it.settle().toSorted()).toEqual(['detach', 'hold', 'off', 'worker of prompt']);
    expect([importer.attachment, it.buffer.dmabuf.file.refs.count]).toEqual([undefined, 1]);
  });
});

describe('a callback', () => {
  test('of a prompt importer with several maps queues its worker once', () => {
    const it = new ImporterRig();
    const importer = it.mapped('prompt');
    it.rig.call(importerMap(importer));
    expect(it.start('off', vfioConfigMemory(it.device, false))).toEqual(['worker of prompt', 'off']);
    expect(it.workers.take()).toBeUndefined();
  });

  test('comes to the newest importer first, once per revoke and once per un-revoke', () => {
    const it = new ImporterRig();
    for (const name of ['a', 'b', 'c']) it.attached('late', name);
    it.start('off', vfioConfigMemory(it.device, false));
    it.start('off', vfioConfigMemory(it.device, false));
    expect(it.callbacks).toEqual(['c', 'b', 'a']);
    it.start('on', vfioConfigMemory(it.device, true));
    expect(it.callbacks).toEqual(['c', 'b', 'a', 'c', 'b', 'a']);
  });
});

describe('V-48: a pin', () => {
  test('is granted to every driver that is attached, revoked or not, and detach gives it back', () => {
    const it = new ImporterRig();
    const importer = it.attached('late');
    expect(it.rig.call(importerPin(importer))).toBeUndefined();
    it.rig.call(vfioConfigMemory(it.device, false));
    expect([it.rig.call(importerPin(importer)), importer.pins]).toEqual([undefined, 2]);
    it.rig.call(importerDetach(importer));
    expect([importer.pins, it.buffer.dmabuf.attached]).toEqual([0, 0]);
  });
});

describe('every allocation fails once:', () => {
  const state = ({ buffer }: ImporterRig) => ({
    attached: buffer.dmabuf.attached,
    references: buffer.dmabuf.file.refs.count,
    token: buffer.priv.kref.count,
    fences: buffer.dmabuf.resv.pending(USAGE.BOOKKEEP),
  });

  const CALLS: readonly (readonly [string, (it: ImporterRig) => Thread<unknown>])[] = [
    [
      'attach',
      (it) => {
        const importer = it.importer('late');
        return importerAttach(importer, it.rig.fds, it.buffer.fd);
      },
    ],
    ['map', (it) => importerMap(it.attached('late'))],
    ['submit', (it) => importerSubmit(it.attached('late'), new Fence('f', 1, 1), USAGE.READ)],
  ];

  test.each(CALLS)('%s leaves the buffer as it was, and a revoke has nothing to wait for', (_, call) => {
    const sites: string[] = [];
    for (let nth = 1; ; nth++) {
      const it = new ImporterRig();
      const { faults } = it.rig.kernel;
      const thread = call(it);
      const before = state(it);
      faults.arm(nth);
      const answer = it.rig.call(thread);
      const { fired } = faults;
      faults.disarm();
      if (!fired) {
        expect(answer).toBeUndefined();
        break;
      }
      sites.push(faults.passed.at(-1) as string);
      expect([answer, state(it)]).toEqual(['ENOMEM', before]);
      expect(it.start('off', vfioConfigMemory(it.device, false))).toEqual(['off']);
    }
    expect(sites.length).toBeGreaterThan(0);
  });
});
