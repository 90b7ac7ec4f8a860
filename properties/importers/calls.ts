/** Each step, in the implementation and in the oracle. Both are started; how far they come is seen later. */

import { dmaBufOf } from '../../impl/dmabuf/dma-buf.ts';
import { Fence, USAGE } from '../../impl/dmabuf/resv.ts';
import { importSyncFile, SYNC_READ, SYNC_WRITE, syncFile } from '../../impl/dmabuf/sync-file.ts';
import { fdOf, fileOf } from '../../impl/handles.ts';
import {
  type Importer,
  importerAttach,
  importerDetach,
  importerMap,
  importerPin,
  importerSubmit,
  importerUnmap,
} from '../../impl/importers/importer.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { vfioRevokeForGood } from '../../impl/vfio/ioctl.ts';
import { vfioPciDmaBufOf } from '../../impl/vfio/pci-dmabuf.ts';
import type { Steps } from './actors.ts';
import { type Call, command, ofDevice, said } from './device-calls.ts';
import { type Buffer, type Oracle, type Party, type Pending, USAGES } from './oracle.ts';
import { done, type Scene } from './scene.ts';
import type { Step } from './steps.ts';

type Of<Do extends Step['do']> = Extract<Step, { do: Do }>;

/** BAR memory by pages: a buffer is two pages, each range a page of its own. */
const PAGE = 0x1000n;
const areaIova = (area: string): bigint => 0x100_0000n + BigInt(area.slice(1)) * 4n * PAGE;
export const SIZE = 2n * PAGE;

/** Start the step under the name of its thread; nothing is run yet. */
export function perform(scene: Scene, step: Step, name: string): void {
  if (step.do === 'lock elsewhere') {
    scene.device(step.dev).environment.lockedElsewhere = step.on;
    scene.oracleDevice(step.dev).lockedElsewhere = step.on;
    return;
  }
  if (step.do === 'signal') {
    scene.fences.get(step.fence)?.signal();
    for (const fence of scene.oracle.fences) if (fence.name === step.fence) fence.signaled = true;
    return;
  }
  const [thread, steps] = callOf(scene, step);
  scene.threads.start(scene.branch(name, thread));
  scene.oracle.start(name, steps);
}

function callOf(scene: Scene, step: Exclude<Step, { do: 'signal' | 'lock elsewhere' }>): Call {
  switch (step.do) {
    case 'export':
      return [exporting(scene, step), scene.oracleDevice(step.dev).through(exported(scene, step))];
    case 'revoke for good':
      return revoke(scene, step);
    case 'close':
      return [command(scene, { do: 'fd_close', fd: step.buffer }), closed(scene.oracle, buffer(scene, step.buffer))];
    case 'attach':
      return attach(scene, step);
    case 'pin':
    case 'map':
    case 'unmap':
    case 'detach':
      return ofImporter(scene, step);
    case 'submit':
      return submit(scene, step);
    case 'import sync file':
      return sync(scene, step);
    case 'map area':
    case 'unmap area':
      return ofArea(scene, step);
    default:
      return ofDevice(scene, step);
  }
}

const buffer = ({ oracle }: Scene, handle: string): Buffer =>
  oracle.buffers.find((it) => it.handle === handle && it.fd) as Buffer;
const party = ({ oracle }: Scene, name: string): Party => oracle.parties.find((it) => it.name === name) as Party;

/** While a call is under way, no other begins on the same importer. */
function* busy(it: Party, steps: Steps<string>): Steps<string> {
  const answer = yield* steps;
  it.busy = false;
  return answer;
}

/** The same for one that is there only if this succeeds. */
function* joining(oracle: Oracle, it: Party, steps: Steps<string>): Steps<string> {
  const answer = yield* busy(it, steps);
  if (answer !== 'ok') oracle.parties = oracle.parties.filter((other) => other !== it);
  return answer;
}

function* leaving(oracle: Oracle, it: Party, steps: Steps<string>): Steps<string> {
  const answer = yield* busy(it, steps);
  oracle.parties = oracle.parties.filter((other) => other !== it);
  return answer;
}

function newParty({ oracle }: Scene, name: string, kind: Party['kind']): Party {
  const made: Party = { name, kind, buffer: undefined, maps: 0, pins: 0, busy: true, working: false, live: false };
  oracle.parties.push(made);
  return made;
}

const exported = (scene: Scene, { dev, as, ranges }: Of<'export'>): Steps<string> =>
  scene.oracleDevice(dev).export(as, ranges);

function* exporting(scene: Scene, { dev, as, ranges }: Of<'export'>): Thread<string> {
  const slices: [bigint, bigint][] =
    ranges === 1
      ? [[0n, SIZE]]
      : [
          [PAGE, PAGE],
          [0n, PAGE],
        ];
  const answer = yield* command(scene, { do: 'vfio_export', dev, region: 2, ranges: slices, as });
  const file = fileOf(scene.machine, as, 'file');
  const dmabuf = file && dmaBufOf(file);
  const priv = dmabuf && vfioPciDmaBufOf(dmabuf);
  if (answer === 'ok' && priv !== undefined) scene.buffers.set(priv.dmabuf.name, priv);
  return answer;
}

function* closed(oracle: Oracle, it: Buffer): Steps<string> {
  it.fd = false;
  oracle.putFile(it);
  return 'ok';
}

function attach(scene: Scene, { as, kind, buffer: handle }: Of<'attach'>): Call {
  const { fds } = scene.machine;
  const it = newParty(scene, as, kind);
  const importer = scene.addImporter(as, kind);
  const steps = scene.oracle.attach(it, buffer(scene, handle));
  return [said(importerAttach(importer, fds, fdOf(scene.machine, handle, 'file'))), joining(scene.oracle, it, steps)];
}

function revoke(scene: Scene, { dev, buffer: handle }: Of<'revoke for good'>): Call {
  const { fds } = scene.machine;
  const it = scene.oracleDevice(dev);
  const thread = vfioRevokeForGood(scene.device(dev), fdOf(scene.machine, handle, 'file'), fds);
  return [said(thread), it.through(it.revokeForGood(buffer(scene, handle)))];
}

function ofImporter(scene: Scene, { do: what, importer: name }: Of<'pin' | 'map' | 'unmap' | 'detach'>): Call {
  const { oracle } = scene;
  const it = party(scene, name);
  const importer = scene.importers.get(name) as Importer;
  it.busy = true;
  switch (what) {
    case 'pin':
      return [said(importerPin(importer)), busy(it, oracle.pin(it))];
    case 'map':
      return [said(importerMap(importer)), busy(it, oracle.map(it))];
    case 'unmap':
      return [done(importerUnmap(importer)), busy(it, oracle.unmap(it))];
    case 'detach':
      return [done(importerDetach(importer)), leaving(oracle, it, oracle.detach(it))];
  }
}

let contexts = 1;

function newFence({ fences, oracle }: Scene, name: string, usage: number): { fence: Fence; pending: Pending } {
  const fence = new Fence(name, contexts++, 1);
  const pending = { name, usage, signaled: false };
  fences.set(name, fence);
  oracle.fences.push(pending);
  return { fence, pending };
}

function submit(scene: Scene, { importer: name, as, usage }: Of<'submit'>): Call {
  const it = party(scene, name);
  it.busy = true;
  const { fence, pending } = newFence(scene, as, USAGES.indexOf(usage));
  const importer = scene.importers.get(name) as Importer;
  const steps = busy(it, scene.oracle.fence(it.buffer as Buffer, pending));
  return [said(importerSubmit(importer, fence, USAGE[usage])), steps];
}

function sync(scene: Scene, { buffer: handle, as, write }: Of<'import sync file'>): Call {
  const { fence, pending } = newFence(scene, as, USAGES.indexOf(write ? 'WRITE' : 'READ'));
  const steps = scene.oracle.importFence(buffer(scene, handle), pending);
  return [importing(scene, handle, fence, write ? SYNC_WRITE : SYNC_READ), steps];
}

function* importing({ machine }: Scene, handle: string, fence: Fence, flags: number): Thread<string> {
  const { fds } = machine;
  const syncFd = fds.install(syncFile(fence)) as number;
  const answer = yield* importSyncFile(fds, fdOf(machine, handle, 'file'), flags, syncFd);
  fds.close(syncFd);
  return answer ?? 'ok';
}

function ofArea(scene: Scene, { do: what, area, buffer: handle }: Of<'map area' | 'unmap area'>): Call {
  const { oracle } = scene;
  const iova = areaIova(area);
  if (what === 'map area') {
    const it = newParty(scene, area, 'iommufd');
    const call = { do: 'ioas_map_file', ioas: 'a', fd: handle, start: 0n, length: SIZE, prot: 'rw', iova } as const;
    return [command(scene, call), joining(oracle, it, oracle.mapArea(it, buffer(scene, handle)))];
  }
  const it = party(scene, area);
  it.busy = true;
  return [
    command(scene, { do: 'ioas_unmap', ioas: 'a', iova, length: SIZE }),
    leaving(oracle, it, oracle.unmapArea(it)),
  ];
}
