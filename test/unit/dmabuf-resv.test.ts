import { describe, expect, test } from 'vitest';
import { following, interleave } from '../../explore/interleave.ts';
import { Fence, Resv, USAGE, type Usage } from '../../impl/dmabuf/resv.ts';
import { drain, Kernel, Task, type Thread } from '../../impl/kernel/thread.ts';

const kernel = new Kernel();
const run = <T>(thread: Thread<T>): T => drain(new Task('caller', kernel), () => thread);

/** Reserve a slot for each fence, and add them, under one hold of the lock. */
function* add(resv: Resv, ...fences: readonly (readonly [Fence, Usage])[]): Thread {
  yield resv;
  try {
    resv.reserveFences(fences.length);
    for (const [fence, usage] of fences) resv.addFence(fence, usage);
  } finally {
    resv.release();
  }
}

function* addUnreserved(resv: Resv, fence: Fence, usage: Usage): Thread {
  yield resv;
  try {
    resv.addFence(fence, usage);
  } finally {
    resv.release();
  }
}

function* wait(resv: Resv, usage: Usage): Thread {
  yield resv.fencesSignaled(usage);
}

const usages = Object.entries(USAGE);

describe('waiting for a usage', () => {
  test.each(
    usages.flatMap(([fenceName, fence]) =>
      usages.map(([waitName, asked]) => [
        waitName,
        fence <= asked ? 'waits' : 'does not wait',
        fenceName,
        fence,
        asked,
      ]),
    ),
  )('a wait for %s %s for a fence of usage %s', (_waitName, waits, _fenceName, usage, asked) => {
    const resv = new Resv('resv');
    const fence = new Fence('f', 1, 1);
    run(add(resv, [fence, usage as Usage]));
    expect(resv.testSignaled(asked as Usage)).toBe(waits !== 'waits');
    fence.signal();
    expect(resv.testSignaled(asked as Usage)).toBe(true);
  });

  test('a wait for ever is a deadlock that names the fence', () => {
    const resv = new Resv('resv');
    run(add(resv, [new Fence('video', 1, 1), USAGE.READ]));
    expect(() => run(wait(resv, USAGE.BOOKKEEP))).toThrow('waits for resv fences, blocked by fence video');
  });

  test('a wait whose fences have signaled names none', () => {
    expect(new Resv('resv').fencesSignaled(USAGE.BOOKKEEP).blockedBy?.()).toBe('fence none');
  });

  test('a fence signals while somebody else holds the lock and waits for it', () => {
    const resv = new Resv('resv');
    const fence = new Fence('f', 1, 1);
    run(add(resv, [fence, USAGE.BOOKKEEP]));
    function* waitHolding(): Thread {
      yield resv;
      try {
        yield resv.fencesSignaled(USAGE.BOOKKEEP);
      } finally {
        resv.release();
      }
    }
    const kernel = new Kernel();
    const waits = { task: new Task('waits', kernel), thread: waitHolding() };
    const signals = { task: new Task('signals', kernel), thread: signaling(fence) };
    expect(() => interleave([waits, signals], following([]))).not.toThrow();
  });
});

function* signaling(fence: Fence): Thread {
  fence.signal();
}

describe('adding a fence', () => {
  test('needs a reserved slot', () => {
    expect(() => run(addUnreserved(new Resv('resv'), new Fence('f', 1, 1), USAGE.READ))).toThrow('no slot reserved');
  });

  test('a smaller reservation leaves a larger one as it is', () => {
    const resv = new Resv('resv');
    function* addTwo(): Thread {
      yield resv;
      try {
        for (const count of [2, 1]) expect(resv.reserveFences(count)).toBeUndefined();
        for (const context of [1, 2]) resv.addFence(new Fence(`f${context}`, context, 1), USAGE.READ);
      } finally {
        resv.release();
      }
    }
    run(addTwo());
    expect(resv.pending(USAGE.BOOKKEEP)).toHaveLength(2);
  });

  test('a reserved slot is gone with the lock', () => {
    const resv = new Resv('resv');
    function* reserve(): Thread {
      yield resv;
      try {
        expect(resv.reserveFences(2)).toBeUndefined();
        expect(resv.reserveFences(1)).toBeUndefined();
      } finally {
        resv.release();
      }
    }
    run(reserve());
    expect(() => run(addUnreserved(resv, new Fence('f', 1, 1), USAGE.READ))).toThrow('no slot reserved');
  });

  test.each([
    ['that is signaled', { signaled: true, context: 2, seqno: 9, usage: USAGE.KERNEL }, true],
    ['of its context, usage and time', { signaled: false, context: 1, seqno: 5, usage: USAGE.READ }, true],
    ['of its context that was a wider usage', { signaled: false, context: 1, seqno: 4, usage: USAGE.BOOKKEEP }, true],
    ['of its context that was a narrower usage', { signaled: false, context: 1, seqno: 4, usage: USAGE.WRITE }, false],
    ['of its context that is later', { signaled: false, context: 1, seqno: 6, usage: USAGE.READ }, false],
    ['of another context', { signaled: false, context: 2, seqno: 4, usage: USAGE.READ }, false],
  ] as const)('a fence %s makes room for a new one: %o, %s', (_, old, room) => {
    const resv = new Resv('resv');
    const before = new Fence('before', old.context, old.seqno);
    run(add(resv, [before, old.usage]));
    if (old.signaled) before.signal();
    const added = () => run(addUnreserved(resv, new Fence('after', 1, 5), USAGE.READ));
    if (room) {
      added();
      expect(resv.firstPending(USAGE.BOOKKEEP)?.name).toBe('after');
    } else {
      expect(added).toThrow('no slot reserved for fence after');
    }
  });

  test('reserving answers ENOMEM when there is none', () => {
    const resv = new Resv('resv');
    function* reserve(): Thread<unknown> {
      yield resv;
      try {
        return resv.reserveFences(1);
      } finally {
        resv.release();
      }
    }
    kernel.faults.arm(1, 'dma_resv_reserve_fences');
    expect(run(reserve())).toBe('ENOMEM');
    kernel.faults.disarm();
  });

  test('reserving no slot is a splat', () => {
    expect(() => run(add(new Resv('resv')))).toThrow('room for 0 fences');
  });

  test('reserving and adding without the lock are splats', () => {
    function* reserve(): Thread {
      new Resv('resv').reserveFences(1);
    }
    function* addOne(): Thread {
      new Resv('resv').addFence(new Fence('f', 1, 1), USAGE.READ);
    }
    expect(() => run(reserve())).toThrow('must be held here');
    expect(() => run(addOne())).toThrow('must be held here');
  });
});
