/** The world of one run: a machine, and the drivers and the work that no trace has commands for. */
import { Fence, USAGE } from '../../impl/dmabuf/resv.ts';
import { operation } from '../../impl/execute.ts';
import {
  Importer,
  importerAttach,
  importerDetach,
  importerMap,
  importerSubmit,
  importerUnmap,
} from '../../impl/importers/importer.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import {
  type MockAccess,
  mockAccessPages,
  mockCreateAccess,
  mockDestroyAccess,
} from '../../impl/iommufd/mock-access.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { drain, syscall, Task, type Thread, type WaitPoint } from '../../impl/kernel/thread.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import { Workqueue } from '../../impl/kernel/workqueue.ts';
import { Machine } from '../../impl/machine.ts';
import { PciFunction } from '../../impl/pci/topology.ts';
import type { Result } from '../../trace/answer.ts';
import type { Handle } from '../../trace/command.ts';
import { MACHINES } from './machines.ts';
import type { Case, DriverStep, Step } from './race.ts';
import { isDriverStep } from './show.ts';

const DONE: Result = { ok: {} };
const answerOf = (refused: Errno | undefined): Result => (refused === undefined ? DONE : { err: refused });

export class World {
  readonly machine: Machine;
  readonly importers = new Map<Handle, Importer>();
  readonly fences = new Map<Handle, Fence>();
  readonly accesses = new Map<Handle, MockAccess>();
  /** Which importers were called back, in order. */
  readonly callbacks: Handle[] = [];
  readonly #work = new Workqueue();
  /** What the worker waits for who has nothing to do. */
  readonly pieces: WaitPoint = { name: 'work', ready: () => !this.#work.empty, enter: () => {} };

  /** As it is before the race: every step succeeds. */
  constructor({ machine, kernel = '7.3', before }: Pick<Case, 'machine' | 'kernel' | 'before'>) {
    this.machine = new Machine(MACHINES[machine ?? 'two buses'], kernel);
    for (const step of before) {
      const task = new Task('before', this.machine.kernel);
      const result = drain(task, () => this.#call(task, step));
      if ('err' in result) throw new Error(`${step.do} answers ${result.err} before the race`);
    }
    this.machine.takeCalls();
    this.callbacks.length = 0;
  }

  /** Calls in turn, of which the first that is refused is the last. */
  *inTurn(task: Task, steps: readonly Step[]): Thread<string> {
    const answers: string[] = [];
    for (const step of steps) {
      const result = yield* this.#call(task, step);
      answers.push(short(step, result));
      if ('err' in result) break;
    }
    return answers.join('+');
  }

  /** The worker of all importers: it never ends. */
  *worker(): Thread<string> {
    for (;;) {
      yield this.pieces;
      const work = this.#work.take();
      if (work !== undefined) yield* work.thread();
    }
  }

  #call(task: Task, step: Step): Thread<Result> {
    return syscall(task, () => (isDriverStep(step) ? this.#drive(step) : operation(this.machine, step)));
  }

  *#drive(step: DriverStep): Thread<Result> {
    switch (step.do) {
      case 'importer':
        this.importers.set(step.as, this.#importer(step.as, step.kind));
        return DONE;
      case 'importer_attach':
        return answerOf(yield* importerAttach(this.#of(step.importer), this.machine.fds, this.#fd(step.fd)));
      case 'importer_map':
        return answerOf(yield* importerMap(this.#of(step.importer)));
      case 'importer_unmap':
        yield* importerUnmap(this.#of(step.importer));
        return DONE;
      case 'importer_detach':
        yield* importerDetach(this.#of(step.importer));
        return DONE;
      case 'importer_submit': {
        const fence = new Fence(step.fence, this.fences.size + 1, 1);
        this.fences.set(step.fence, fence);
        return answerOf(yield* importerSubmit(this.#of(step.importer), fence, USAGE[step.usage]));
      }
      case 'fence_signal':
        this.fences.get(step.fence)?.signal();
        return DONE;
      case 'access': {
        const { ctx, id } = this.#ioas(step.ioas);
        const made = yield* mockCreateAccess(ctx, id, 1);
        if (isErrno(made)) return { err: made };
        this.accesses.set(step.as, made);
        return DONE;
      }
      case 'access_pin': {
        const access = this.accesses.get(step.access) as MockAccess;
        const range = { iova: fromBigint(step.iova), length: fromBigint(step.length), flags: 1 };
        const pinned = yield* mockAccessPages(access, range);
        return isErrno(pinned) ? { err: pinned } : DONE;
      }
      case 'code':
        return { ok: { value: yield* step.thread(this.machine) } };
    }
  }

  /** Below the port of dev0, which sends what goes to peers up and down again. */
  #importer(name: Handle, kind: 'prompt' | 'late' | 'never'): Importer {
    const [parent = this.machine.hostBridge] = this.machine.rootPorts.values();
    return new Importer(new PciFunction({ name, parent }), kind, this.#work, () => this.callbacks.push(name));
  }

  #of(handle: Handle): Importer {
    return this.importers.get(handle) as Importer;
  }

  #fd(handle: Handle): number {
    const named = this.machine.names.get(handle);
    return named !== undefined && 'fd' in named ? named.fd : -1;
  }

  #ioas(handle: Handle): Ioas {
    const named = this.machine.names.get(handle);
    if (named?.kind !== 'object' || !(named.object instanceof Ioas)) throw new Error(`${handle} is no IOAS`);
    return named.object;
  }

  /** Everything closes that is still open, and what is left then, in lines. */
  finish(): readonly string[] {
    const { machine } = this;
    const run = (thread: Thread<unknown>): void => {
      const task = new Task('after', machine.kernel);
      drain(task, () => syscall(task, () => thread));
    };
    machine.kernel.faults.disarm();
    for (const importer of this.importers.values()) if (importer.attachment) run(importerDetach(importer));
    for (const access of this.accesses.values()) run(mockDestroyAccess(access));
    for (const process of machine.children.keys()) machine.execute({ do: 'exit', process });
    for (const [name, named] of machine.names) {
      if (named.kind === 'mem') machine.execute({ do: 'munmap', map: name });
      if (named.kind === 'file' && named.fd >= 0) machine.execute({ do: 'fd_close', fd: name });
    }
    machine.execute({ do: 'iommufd_close', ctx: 'ctx' });
    for (const dev of machine.devices.keys()) machine.execute({ do: 'vfio_close', dev });
    return machine.audit();
  }
}

/** An answer as the tables write it; an address where the kernel chose it. */
export function short(step: Step, result: Result): string {
  if ('err' in result) return result.err;
  const { length, iova, value, signal } = result.ok;
  if (length !== undefined) return `0x${length.toString(16)} bytes`;
  if (iova !== undefined && step.do.startsWith('ioas_map') && !('iova' in step)) return `ok at 0x${iova.toString(16)}`;
  return value ?? signal ?? 'ok';
}
