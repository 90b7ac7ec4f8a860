/** What counts: references, files and descriptors, faults; and what differs between kernels. */
import { describe, expect, test } from 'vitest';
import { isErrno } from '../../impl/kernel/errno.ts';
import { FaultPoints } from '../../impl/kernel/fail-nth.ts';
import { FdTable, File } from '../../impl/kernel/file.ts';
import { Kref } from '../../impl/kernel/kref.ts';
import { unreachable, warnOn } from '../../impl/kernel/splat.ts';
import { drain, Kernel, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { inTask, splatOf } from './kernel-rig.ts';

describe('a reference count', () => {
  test('begins with one, and says which put was the last', () => {
    const kref = new Kref('k');
    kref.get();
    expect([kref.count, kref.put(), kref.put(), kref.count]).toEqual([2, false, true, 0]);
  });

  test('is not had from zero by who may be too late', () => {
    const kref = new Kref('k');
    expect([kref.getActive(), kref.count]).toEqual([true, 2]);
    kref.put();
    kref.put();
    expect([kref.getActive(), kref.count]).toEqual([false, 0]);
  });

  test('is armed again at zero only', () => {
    const kref = new Kref('k');
    expect(splatOf(() => kref.rearm())).toBe('refcount: k: re-armed while 1 hold it');
    kref.put();
    kref.rearm();
    expect(kref.count).toBe(1);
  });

  test('splats at get and put of a dead object', () => {
    const kref = new Kref('k');
    kref.put();
    expect(splatOf(() => kref.get())).toBe('refcount: k: get of a dead object');
    expect(splatOf(() => kref.put())).toBe('refcount: k: put below zero');
  });
});

/** A file that writes down its release. */
function fileOf(log: string[], name = 'f'): File {
  function* release(): Thread {
    log.push(`${name} released`);
  }
  return new File(name, {}, release);
}

/** A system call: its work, and then what it deferred. */
function call<T>(kernel: Kernel, work: () => T): T {
  const task = new Task('task', kernel);
  return drain(task, () => syscall(task, () => thread(work)));
}
function* thread<T>(work: () => T): Thread<T> {
  return work();
}

describe('a file', () => {
  test('is released after the system call that dropped the last reference, and not in it', () => {
    const log: string[] = [];
    const kernel = new Kernel();
    const file = call(kernel, () => fileOf(log));
    call(kernel, () => {
      file.get();
      file.put();
      log.push('still there');
      expect(file.getActive()).toBe(true);
      file.put();
      file.put();
      log.push('returning');
      expect(file.getActive()).toBe(false);
    });
    expect(log).toEqual(['still there', 'returning', 'f released']);
  });

  test('is known to its kernel from open to release, with its references', () => {
    const kernel = new Kernel();
    const file = call(kernel, () => fileOf([]));
    expect([...kernel.live.files]).toEqual([file]);
    file.get();
    expect([file.references, file.label]).toEqual([2, 'file f']);
    call(kernel, () => file.put());
    expect(kernel.live.files.size).toBe(1);
    call(kernel, () => file.put());
    expect(kernel.live.files.size).toBe(0);
  });

  test('made outside of any task is known to no kernel', () => {
    expect(fileOf([]).references).toBe(1);
  });

  test('counts what one audit finds, and begins again with the next', () => {
    const file = fileOf([]);
    file.count(7);
    file.count(7);
    expect(file.found).toBe(2);
    file.count(8);
    expect([file.found, file.audit]).toEqual([1, 8]);
  });
});

describe('a table of descriptors', () => {
  test('gives the lowest free number from 3 on, again after a close', () => {
    const fds = new FdTable();
    const answers = inTask(() => ['a', 'b', 'c'].map((name) => fds.install(fileOf([], name))));
    expect(answers).toEqual([3, 4, 5]);
    call(new Kernel(), () => expect([fds.close(4), fds.close(3)]).toEqual([undefined, undefined]));
    expect(inTask(() => [fds.install(fileOf([])), fds.install(fileOf([])), fds.install(fileOf([]))])).toEqual([
      3, 4, 6,
    ]);
    expect([fds.size, [...fds.files].length]).toEqual([4, 4]);
  });

  test('is EBADF at a second close, and drops the reference once', () => {
    const log: string[] = [];
    const fds = new FdTable();
    const file = fileOf(log);
    inTask(() => fds.install(file));
    expect(fds.lookup(3)).toBe(file);
    const closed = call(new Kernel(), () => [fds.close(3), fds.close(3)]);
    expect([closed, log, fds.lookup(3)]).toEqual([[undefined, 'EBADF'], ['f released'], undefined]);
  });

  test('leaves the reference with the caller, when there is no number: EMFILE', () => {
    const kernel = new Kernel();
    const [fds, file] = [new FdTable(), fileOf([])];
    kernel.faults.arm(1);
    expect(inTask(() => fds.install(file), kernel)).toBe('EMFILE');
    expect([fds.size, file.refs.count, isErrno('EMFILE'), isErrno(3)]).toEqual([0, 1, true, false]);
  });
});

describe('fault points', () => {
  const pass = (faults: FaultPoints, ...sites: string[]): boolean[] => sites.map((site) => faults.hit(site));

  test('fail the n-th that is passed, and only that', () => {
    const faults = new FaultPoints();
    faults.arm(2);
    expect(faults.fired).toBe(false);
    expect(pass(faults, 'a', 'b', 'c')).toEqual([false, true, false]);
    expect([faults.fired, faults.passed]).toEqual([true, ['a', 'b', 'c']]);
  });

  test('count only the named site, when one is named', () => {
    const faults = new FaultPoints();
    faults.arm(2, 'b');
    expect(pass(faults, 'b', 'a', 'a', 'b', 'b')).toEqual([false, false, false, true, false]);
  });

  test('fail nothing before they are armed, nor after they are disarmed', () => {
    const faults = new FaultPoints();
    expect(pass(faults, 'a')).toEqual([false]);
    faults.arm(1);
    faults.disarm();
    expect([pass(faults, 'a'), faults.fired, faults.passed]).toEqual([[false], false, []]);
    faults.arm(1);
    expect(pass(faults, 'a')).toEqual([true]);
    faults.arm(9);
    expect([faults.fired, faults.passed]).toEqual([false, []]);
  });
});

test('a warning is a splat when its condition holds, and nothing else', () => {
  expect(warnOn(false, 'never')).toBe(undefined);
  expect(splatOf(() => warnOn(true, 'so it is'))).toBe('WARN: so it is');
  expect(splatOf(() => unreachable('x' as never))).toBe('WARN: unreachable: x');
});
