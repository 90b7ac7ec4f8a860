/** An io_uring-like token on a buffer of vfio-pci. Source: vfio-dmabuf 8.1 */
import { describe, expect, test, vi } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import { Fence, USAGE } from '../../impl/dmabuf/resv.ts';
import {
  type DmaToken,
  type TokenMap,
  tokenComplete,
  tokenIssue,
  tokenRegister,
  tokenUnregister,
} from '../../impl/importers/dma-token.ts';
import { Completion } from '../../impl/kernel/completion.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { preempt, type Thread, type WaitPoint } from '../../impl/kernel/thread.ts';
import { vfioConfigMemory, vfioDeviceReset } from '../../impl/vfio/ioctl.ts';
import { ImporterRig } from './importer-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

class TokenRig extends ImporterRig {
  readonly token: DmaToken;
  /** Those of the token, also when it is gone. */
  readonly maps: ReadonlySet<TokenMap>;

  constructor() {
    super();
    this.token = this.register() as DmaToken;
    this.maps = this.token.maps;
  }

  register(fd = this.buffer.fd): DmaToken | Errno {
    return this.rig.call(tokenRegister(this.rig.pci({ name: 'ssd' }), this.rig.fds, fd, this.workers));
  }

  issue(): TokenMap {
    const map = this.rig.call(tokenIssue(this.token));
    if (isErrno(map)) throw new Error(`issue answers ${map}`);
    return map;
  }

  complete(map: TokenMap): string[] {
    tokenComplete(this.token, map);
    return this.start('complete', nothing());
  }

  get left(): unknown[] {
    const { dmabuf, priv } = this.buffer;
    return [dmabuf.attached, dmabuf.file.refs.count, priv.kref.count, this.maps.size];
  }
}

function* nothing(): Thread {}

const off = (it: ImporterRig): Thread<unknown> => vfioConfigMemory(it.device, false);
const RELEASE = 'release of map 1 of ssd';

describe('a request', () => {
  test('maps the buffer when it is the first, and shares the map when it is not', () => {
    const it = new TokenRig();
    expect(it.left).toEqual([1, 2, 1, 0]);
    const [first, second] = [it.issue(), it.issue()];
    expect([first === second, first.refs.count, it.left]).toEqual([true, 3, [1, 2, 2, 1]]);
    it.complete(first);
    it.complete(second);
    expect([first.fence.signaled, first.refs.count]).toEqual([false, 1]);
  });

  test('waits for KERNEL fences without the lock, and asks again under it', () => {
    const it = new TokenRig();
    const { resv } = it.buffer.dmabuf;
    const first = it.working(it.attached('late'), USAGE.KERNEL, 'move');
    it.start('issue', tokenIssue(it.token));
    expect([it.waiting, resv.locked]).toEqual([['issue waits for fence move (KERNEL)'], false]);
    // Another comes while somebody has the lock.
    const [go, second] = [new Completion('go', { owed: () => 'go' }), new Fence('again', 3, 1)];
    function* hold(): Thread {
      yield resv;
      yield go;
      resv.reserveFences(1);
      resv.addFence(second, USAGE.KERNEL);
      resv.release();
    }
    it.start('hold', hold());
    first.signal();
    it.settle();
    expect(it.waiting[0]).toBe('issue waits for dev0.dmabuf0.resv, held by hold, which waits for go');
    go.complete();
    expect(it.settle()).toEqual(['hold']);
    expect([it.waiting, resv.locked]).toEqual([['issue waits for fence again (KERNEL)'], false]);
    second.signal();
    expect(it.settle()).toEqual(['issue']);
    expect(it.token.maps.size).toBe(1);
  });

  test('is refused while the buffer is revoked, and gets a new map when it is back', () => {
    const it = new TokenRig();
    const before = it.issue();
    it.complete(before);
    it.start('off', off(it));
    expect(it.rig.call(tokenIssue(it.token))).toBe('ENODEV');
    it.start('on', vfioConfigMemory(it.device, true));
    expect([it.issue() === before, before.fence.signaled]).toEqual([false, true]);
  });
});

describe('a revoke', () => {
  test('of a map that nobody uses returns at once', () => {
    const it = new TokenRig();
    it.complete(it.issue());
    expect(it.start('off', off(it))).toEqual([RELEASE, 'off']);
  });

  test('waits for the fence until the last request is done, and then for the unmap', () => {
    const it = new TokenRig();
    const [first, second] = [it.issue(), it.issue()];
    expect(it.start('off', off(it))).toEqual([]);
    expect(it.waiting).toEqual(['off waits for fence map 1 of ssd (KERNEL)']);
    expect(it.complete(first)).toEqual(['complete']);
    expect([first.fence.signaled, it.token.current]).toEqual([false, undefined]);
    expect(it.complete(second)).toEqual(['complete', RELEASE, 'off']);
    expect(it.left).toEqual([1, 2, 1, 0]);
  });

  test('waits in the callback, with the lock held, when there is no slot for the fence', () => {
    const it = new TokenRig();
    const map = it.issue();
    it.rig.kernel.faults.arm(1, 'dma_resv_reserve_fences');
    expect(it.start('off', off(it))).toEqual([]);
    expect([it.waiting, it.buffer.dmabuf.resv.pending(USAGE.BOOKKEEP)]).toEqual([
      ['off waits for fence map 1 of ssd (alone)'],
      [],
    ]);
    expect(it.complete(map)).toEqual(['complete', RELEASE, 'off']);
  });

  test('of a buffer with another importer, too, is held up by neither but by its unmap', () => {
    const it = new TokenRig();
    const map = it.issue();
    it.mapped('prompt');
    it.start('reset', vfioDeviceReset(it.device));
    it.complete(map);
    expect([it.waiting, it.token.maps.size, it.buffer.priv.revoked]).toEqual([[], 0, false]);
  });
});

describe('to unregister', () => {
  test('waits for the requests, and leaves nothing', () => {
    const it = new TokenRig();
    const map = it.issue();
    expect(it.start('unregister', tokenUnregister(it.token))).toEqual([]);
    expect(it.rig.call(tokenIssue(it.token))).toBe('EINVAL');
    expect(it.complete(map)).toEqual(['complete', RELEASE, 'unregister']);
    expect(it.left).toEqual([0, 1, 1, 0]);
  });

  test('waits for a map that died before it', () => {
    const it = new TokenRig();
    const map = it.issue();
    it.rig.kernel.faults.arm(1, 'dma_resv_reserve_fences');
    it.start('off', off(it));
    it.start('unregister', tokenUnregister(it.token));
    expect(it.complete(map)).toContain('unregister');
    expect(it.left).toEqual([0, 1, 1, 0]);
  });

  test('a token that was never used returns at once', () => {
    const it = new TokenRig();
    expect(it.start('unregister', tokenUnregister(it.token))).toEqual(['unregister']);
    expect(it.left).toEqual([0, 1, 1, 0]);
  });
});

test('registering answers for bad descriptors and revoked buffers, and leaves no reference', () => {
  const it = new TokenRig();
  expect(it.register(99)).toBe('EBADF');
  it.start('off', off(it));
  expect([it.register(), it.left]).toEqual(['ENODEV', [1, 2, 1, 0]]);
});

test.each(['register', 'issue'] as const)(
  'every allocation of %s fails once, and leaves everything as it was',
  (which) => {
    for (let nth = 1; ; nth++) {
      const it = new TokenRig();
      const { faults } = it.rig.kernel;
      const before = it.left;
      faults.arm(nth);
      const answer = which === 'register' ? it.register() : it.rig.call(tokenIssue(it.token));
      const { fired } = faults;
      faults.disarm();
      if (!fired) {
        expect([isErrno(answer), nth]).toEqual([false, nth]);
        expect(nth).toBeGreaterThan(2);
        break;
      }
      expect([answer, it.left]).toEqual(['ENOMEM', before]);
      expect(it.start('off', off(it))).toEqual(['off']);
    }
  },
);

/** A request from its begin to its end; what it may touch is mapped all the time. */
function* request({ token }: TokenRig): Thread<string> {
  const map = yield* tokenIssue(token);
  if (isErrno(map)) return map;
  const mapped = (): unknown[] => [map.fence.signaled, token.maps.has(map), token.attachment.liveMaps > 0];
  expect(mapped()).toEqual([false, true, true]);
  yield preempt;
  expect(mapped()).toEqual([false, true, true]);
  tokenComplete(token, map);
  return 'done';
}

/** The kernel's worker, until nobody is left who could queue anything. */
function* worker({ workers }: TokenRig, over: () => boolean): Thread<string> {
  const some: WaitPoint = { name: 'work', ready: () => !workers.empty || over(), enter: () => {} };
  for (;;) {
    yield some;
    const work = workers.take();
    if (work === undefined) return 'idle';
    yield* work.thread();
  }
}

/** Every interleaving of threads, and of the worker; how each ended. */
function ends(threads: (it: TokenRig) => Readonly<Record<string, Thread<unknown>>>, slots: boolean): string[] {
  const all = new Set<string>();
  exhaust((choose) => {
    const it = new TokenRig();
    if (!slots) it.rig.kernel.faults.arm(1, 'dma_resv_reserve_fences');
    const branches = Object.entries(threads(it)).map(([name, thread]) => it.branch(name, thread));
    let running = branches.length;
    branches.push(
      it.branch(
        'worker',
        worker(it, () => running === 0),
      ),
    );
    const answers = interleave(branches, choose, ({ task, wants }) => {
      if (wants !== undefined || task.name === 'worker') return;
      running--;
      if (task.name === 'off') expect([it.token.maps.size, it.buffer.priv.kref.count]).toEqual([0, 1]);
    });
    all.add(answers.slice(0, -1).join(', '));
    expect(it.workers.empty).toBe(true);
  });
  return [...all].toSorted();
}

test.each([true, false])(
  'V-66: a request and a revoke end in every interleaving, with a slot for the fence: %s',
  (slots) => {
    expect(ends((it) => ({ request: request(it), off: off(it) }), slots)).toEqual(['ENODEV, ', 'done, ']);
  },
);

test('V-66: a request and an unregister end in every interleaving, and leave nothing', () => {
  const left: unknown[] = [];
  function* unregister(it: TokenRig): Thread {
    yield* tokenUnregister(it.token);
    left.push(it.left);
  }
  expect(ends((it) => ({ request: request(it), unregister: unregister(it) }), true)).toEqual(['EINVAL, ', 'done, ']);
  for (const each of left) expect(each).toEqual([0, 1, 1, 0]);
});

test('V-66: two requests map once, or one after the other', () => {
  const answers = ends((it) => ({ first: request(it), second: request(it) }), true);
  expect(answers).toEqual(['done, done']);
});

test('V-66: an unrelated fence of the exporter holds up the next map, not the requests that run', () => {
  const it = new TokenRig();
  const map = it.issue();
  const fence = new Fence('other', 7, 1);
  it.rig.holding(it.buffer.dmabuf.resv, () => {
    it.buffer.dmabuf.resv.reserveFences(1);
    it.buffer.dmabuf.resv.addFence(fence, USAGE.KERNEL);
  });
  expect(it.issue()).toBe(map);
});
