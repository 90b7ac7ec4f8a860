/** What accesses do, in the implementation and in the oracle. */
import { accessAttach, accessDetach } from '../../impl/iommufd/access.ts';
import { ACCESS_RW_KTHREAD, ACCESS_RW_SLOW_PATH, ACCESS_RW_WRITE, accessRw } from '../../impl/iommufd/access-rw.ts';
import { ioasChangeProcess } from '../../impl/iommufd/change-process.ts';
import type { Ioas } from '../../impl/iommufd/ioas.ts';
import {
  MockAccess,
  mockAccessPages,
  mockAccessRw,
  mockCreateAccess,
  mockDestroyAccess,
  mockDestroyAccessPages,
  mockReplaceIoas,
  NEEDS_PIN_PAGES,
  PIN_WRITE,
} from '../../impl/iommufd/mock-access.ts';
import { type MockQueue, mockQueueCreate, mockQueueDestroy } from '../../impl/iommufd/mock-queue.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { exitMmap } from '../../impl/kernel/munmap.ts';
import { drain, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { bytes, fromBigint } from '../../impl/kernel/units.ts';
import type { Errno } from '../../trace/answer.ts';
import {
  type Accessor,
  attachable,
  inOneStretch,
  moved,
  type Oracle,
  pinned,
  type Route,
  type Space,
} from './oracle.ts';
import { ctxOfScene, ioasOf, type Scene } from './scene.ts';
import { type Outcome, type Step, sameAnswer } from './step.ts';

type AccessStep = Exclude<Step, { do: 'command' }>;

/** No object has this number. */
const NOBODY = 9999;

/** Kernel code as a system call of its own. */
export function call<T>({ machine }: Scene, thread: Thread<T>): T {
  const task = new Task('driver', machine.kernel);
  return drain(task, () => syscall(task, () => thread));
}

export function performAccess(scene: Scene, step: AccessStep): Outcome {
  switch (step.do) {
    case 'create':
      return create(scene, step);
    case 'queue':
      return queue(scene, step);
    case 'replace':
    case 'reattach':
      return move(scene, step);
    case 'close':
      return close(scene, accessor(scene, step.access));
    case 'destroy':
      return sameAnswer(call(scene, ctxOfScene(scene).destroy(driver(scene, step.access).access.id)), 'EBUSY');
    case 'pin':
      return pin(scene, step);
    case 'unpin':
      return unpin(scene, step);
    case 'rw':
      return rw(scene, step);
    case 'change process':
      return changeProcess(scene);
    case 'exit':
      call(scene, exitMmap(scene.machine.mm));
      scene.oracle.exited = true;
      return sameAnswer(undefined, undefined);
  }
}

const accessor = ({ oracle }: Scene, name: string): Accessor =>
  oracle.accesses.find((access) => access.name === name) as Accessor;

const spaceOf = ({ spaces }: Oracle, name: string): Space | undefined => spaces.find((space) => space.name === name);

const driver = ({ drivers }: Scene, name: string): MockAccess | MockQueue => drivers.get(name) as MockAccess;
const mockOf = (scene: Scene, name: string): MockAccess => driver(scene, name) as MockAccess;

function numberOf(scene: Scene, name: string): number {
  return spaceOf(scene.oracle, name) === undefined ? NOBODY : (ioasOf(scene, name)?.id ?? NOBODY);
}

function create(scene: Scene, { as, pins, space }: Extract<Step, { do: 'create' }>): Outcome {
  const { oracle } = scene;
  const mock = call(scene, mockCreateAccess(ctxOfScene(scene), numberOf(scene, space), pins ? NEEDS_PIN_PAGES : 0));
  const kind = pins ? 'pin' : 'rw';
  const outcome = sameAnswer(isErrno(mock) ? mock : undefined, attachable(spaceOf(oracle, space), kind));
  if (isErrno(mock)) return outcome;
  scene.drivers.set(as, mock);
  oracle.accesses.push({ name: as, kind, space: spaceOf(oracle, space), pins: new Map() });
  return outcome;
}

function queue(scene: Scene, { as, space: name, iova, length }: Extract<Step, { do: 'queue' }>): Outcome {
  const { oracle } = scene;
  const space = spaceOf(oracle, name);
  const made = call(scene, mockQueueCreate(ioasOf(scene, name) as Ioas, fromBigint(iova), bytes(length)));
  const access: Accessor = { name: as, kind: 'queue', space, pins: new Map() };
  const range = { iova: Number(iova), length };
  const expected =
    attachable(space, 'queue') ??
    pinned(oracle, access, iova, length, false) ??
    (inOneStretch(space as Space, range) ? undefined : 'EFAULT');
  const outcome = sameAnswer(isErrno(made) ? made : undefined, expected);
  if (isErrno(made)) return outcome;
  scene.drivers.set(as, made);
  access.pins.set(0, range);
  oracle.accesses.push(access);
  return outcome;
}

function move(scene: Scene, { do: how, access: name, space }: Extract<Step, { do: 'replace' | 'reattach' }>): Outcome {
  const mock = mockOf(scene, name);
  const access = accessor(scene, name);
  const to = spaceOf(scene.oracle, space);
  const number = numberOf(scene, space);
  const stays = how === 'replace' && access.space === undefined;
  const expected =
    stays || to === undefined
      ? 'ENOENT'
      : access.space === to && how === 'replace'
        ? undefined
        : attachable(to, access.kind);
  let got: Errno | undefined;
  if (how === 'replace') {
    got = call(scene, mockReplaceIoas(mock, number));
    if (expected !== undefined || access.space === to) return sameAnswer(got, expected);
  } else {
    if (access.space !== undefined) call(scene, accessDetach(mock.access));
    got = call(scene, accessAttach(mock.access, number));
  }
  access.pins.clear();
  access.space = expected === undefined ? to : undefined;
  return sameAnswer(got, expected);
}

function close(scene: Scene, access: Accessor): Outcome {
  const it = driver(scene, access.name);
  if (it instanceof MockAccess) call(scene, mockDestroyAccess(it));
  else call(scene, mockQueueDestroy(it));
  scene.drivers.delete(access.name);
  scene.oracle.accesses = scene.oracle.accesses.filter((other) => other !== access);
  return sameAnswer(undefined, undefined);
}

function pin(scene: Scene, { access: name, write, iova, length }: Extract<Step, { do: 'pin' }>): Outcome {
  const access = accessor(scene, name);
  const args = { iova: fromBigint(iova), length: bytes(length), flags: write ? PIN_WRITE : 0 };
  const got = call(scene, mockAccessPages(mockOf(scene, name), args));
  const outcome = sameAnswer(isErrno(got) ? got : undefined, pinned(scene.oracle, access, iova, length, write));
  if (!isErrno(got)) access.pins.set(got, { iova: Number(iova), length });
  return outcome;
}

function unpin(scene: Scene, { access: name, id }: Extract<Step, { do: 'unpin' }>): Outcome {
  const got = call(scene, mockDestroyAccessPages(mockOf(scene, name), id));
  return sameAnswer(got, accessor(scene, name).pins.delete(id) ? undefined : 'ENOENT');
}

function rw(scene: Scene, step: Extract<Step, { do: 'rw' }>): Outcome {
  const { machine, oracle, stranger } = scene;
  const { iova, length, write, slow, caller } = step;
  const mock = mockOf(scene, step.access);
  const data = new Uint8Array(length).fill(0xee);
  if (write) for (let i = 0; i < length; i++) data[i] = i * 11 + (length & 0xff) + 3;
  const expectedData = data.slice();
  const own = caller === 'own' && !oracle.exited;
  const flags = (write ? ACCESS_RW_WRITE : 0) | (slow ? ACCESS_RW_SLOW_PATH : 0);
  const got = call(
    scene,
    caller === 'thread'
      ? accessRw(mock.access, fromBigint(iova), data, flags | ACCESS_RW_KTHREAD, undefined)
      : mockAccessRw(mock, fromBigint(iova), data, flags, own ? machine.mm : stranger),
  );
  const route: Route = !oracle.exited && (caller === 'thread' || (own && !slow)) ? 'fast' : 'whole';
  const expected = moved(oracle, accessor(scene, step.access), iova, expectedData, write, route);
  const { answer, wrong } = sameAnswer(got, expected);
  if (Buffer.compare(data, expectedData) === 0) return { answer, wrong };
  const at = data.findIndex((byte, i) => byte !== expectedData[i]);
  return { answer, wrong: [...wrong, `byte ${at} that was read is ${data[at]}, not ${expectedData[at]}`] };
}

function changeProcess(scene: Scene): Outcome {
  const slabs = new Set(scene.oracle.spaces.flatMap(({ areas }) => areas.map(({ slab }) => slab)));
  let handed = 0;
  const got = call(
    scene,
    ioasChangeProcess(ctxOfScene(scene), 0, (pages) => {
      handed = pages.size;
      return undefined;
    }),
  );
  const expected = [...slabs].some(({ memory }) => memory.kind !== 'file') ? 'EINVAL' : undefined;
  const { answer, wrong } = sameAnswer(got, expected);
  const all = expected === undefined ? slabs.size : 0;
  return { answer, wrong: handed === all ? wrong : [...wrong, `${handed} pages are handed over, not ${all}`] };
}
