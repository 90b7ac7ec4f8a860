/**
 * What a buffer and its importers owe each other, by the documents alone: who may attach and map, who is told in which
 * order, and what a revoke waits for.
 *
 * Source: vfio-dmabuf 2.7, 2.11, 3.2, 4.1 to 4.5
 */
import { Lock, Stage, type Steps, type Wait } from './actors.ts';

/** Usages by their order: to wait for one is to wait for all before it, too. */
export const USAGES = ['KERNEL', 'WRITE', 'READ', 'BOOKKEEP'] as const;
export type UsageName = (typeof USAGES)[number];

export interface Pending {
  readonly name: string;
  readonly usage: number;
  signaled: boolean;
}

/** An importer as the buffer sees it, or an area of an IOAS. */
export interface Party {
  readonly name: string;
  readonly kind: 'prompt' | 'late' | 'never' | 'untold' | 'no peer' | 'static' | 'iommufd';
  buffer: Buffer | undefined;
  maps: number;
  pins: number;
  /** A call on it is under way. */
  busy: boolean;
  /** A worker of it has yet to unmap. */
  working: boolean;
  /** Of iommufd alone: the area is translated. */
  live: boolean;
}

export interface Buffer {
  readonly name: string;
  /** What its descriptor is called. */
  readonly handle: string;
  readonly ranges: number;
  readonly resv: Lock;
  /** Absent, for good, once the device was closed. */
  dev: Exporter | undefined;
  revoked: boolean;
  /** It never comes back. */
  forGood: boolean;
  /** A revoke waits for the unmaps. */
  draining: boolean;
  /** The user's descriptor is open. */
  fd: boolean;
  files: number;
  /** Newest first. */
  attached: Party[];
  fences: Pending[];
}

export interface Exporter {
  readonly name: string;
  readonly memoryLock: Lock;
  /** Oldest export first. */
  buffers: Buffer[];
}

/** A buffer that nobody sees yet but its device. */
export const newBuffer = (name: string, handle: string, ranges: number, dev: Exporter): Buffer => ({
  name,
  handle,
  ranges,
  resv: new Lock(`${name}.resv`),
  dev,
  revoked: true,
  forGood: false,
  draining: false,
  fd: true,
  files: 1,
  attached: [],
  fences: [],
});

/** Everything there is, and what was told to whom. */
export class Oracle extends Stage {
  readonly exporters: Exporter[] = [];
  /** What was exported, in the order in which it was. */
  readonly buffers: Buffer[] = [];
  parties: Party[] = [];
  readonly fences: Pending[] = [];
  readonly callbacks: string[] = [];
  /** Whether an un-revoke tells the importers, too: up to 7.3. */
  readonly tellsOnRestore: boolean;
  /** Whether one buffer can be revoked for good: from the unmerged series on. */
  readonly revokesForGood: boolean;

  constructor(kernel: string) {
    super();
    this.revokesForGood = kernel === 'v4';
    this.tellsOnRestore = !this.revokesForGood;
  }

  /** `last` file reference: the release comes when the call is over. */
  putFile(buffer: Buffer): void {
    if (--buffer.files === 0) this.me.owes.push(() => released(buffer));
  }

  *attach(party: Party, buffer: Buffer): Steps<string> {
    buffer.files++;
    const refused = attachAnswer(party, buffer);
    if (refused !== undefined) {
      this.putFile(buffer);
      return refused;
    }
    yield buffer.resv;
    buffer.attached.unshift(party);
    buffer.resv.release();
    party.buffer = buffer;
    return 'ok';
  }

  /** Nothing to ask of an exporter that never moves a buffer. */
  *pin(party: Party): Steps<string> {
    const { resv } = bufferOf(party);
    yield resv;
    party.pins++;
    resv.release();
    return 'ok';
  }

  *map(party: Party): Steps<string> {
    const buffer = bufferOf(party);
    yield buffer.resv;
    if (!buffer.revoked) {
      party.maps++;
      yield signaled(buffer, USAGES.indexOf('KERNEL'));
    }
    const { revoked } = buffer;
    buffer.resv.release();
    return revoked ? 'ENODEV' : 'ok';
  }

  *unmap(party: Party): Steps<string> {
    const { resv } = bufferOf(party);
    yield resv;
    party.maps = 0;
    resv.release();
    return 'ok';
  }

  *detach(party: Party): Steps<string> {
    const buffer = bufferOf(party);
    yield* this.unmap(party);
    party.pins = 0;
    yield* this.#leave(party, buffer);
    return 'ok';
  }

  /** Off the list. A worker that was begun before holds the buffer a little longer. */
  *#leave(party: Party, buffer: Buffer): Steps {
    yield buffer.resv;
    buffer.attached = buffer.attached.filter((other) => other !== party);
    buffer.resv.release();
    yield { ready: () => !party.working, says: () => `worker of ${party.name}` };
    party.buffer = undefined;
    this.putFile(buffer);
  }

  /** The same by whoever has a descriptor. */
  *importFence(buffer: Buffer, fence: Pending): Steps<string> {
    buffer.files++;
    yield* this.fence(buffer, fence);
    this.putFile(buffer);
    return 'ok';
  }

  /** Work of an importer that goes on until it signals. */
  *fence(buffer: Buffer, fence: Pending): Steps<string> {
    yield buffer.resv;
    const done = buffer.fences.findIndex(({ signaled }) => signaled);
    buffer.fences.splice(done < 0 ? buffer.fences.length : done, 1, fence);
    buffer.resv.release();
    return 'ok';
  }

  /** IOMMU_IOAS_MAP_FILE: attach, and under the lock ask for the one range. */
  *mapArea(area: Party, buffer: Buffer): Steps<string> {
    const attached = yield* this.attach(area, buffer);
    if (attached !== 'ok') return attached;
    yield buffer.resv;
    const refused = buffer.revoked ? 'ENODEV' : buffer.ranges === 1 ? undefined : 'EOPNOTSUPP';
    area.live = refused === undefined;
    buffer.resv.release();
    if (refused === undefined) return 'ok';
    yield* this.#leave(area, buffer);
    return refused;
  }

  /** IOMMU_IOAS_UNMAP: the translation goes first; to unpin and to detach each take the lock. */
  *unmapArea(area: Party): Steps<string> {
    const buffer = bufferOf(area);
    area.live = false;
    yield buffer.resv;
    buffer.resv.release();
    yield* this.#leave(area, buffer);
    return 'ok';
  }

  /** All buffers of the device are revoked, or come back; the caller has the memory lock. */
  *move(exporter: Exporter, revoked: boolean): Steps {
    for (const buffer of exporter.buffers) {
      if (buffer.files === 0) continue;
      buffer.files++;
      if (buffer.revoked !== revoked && !buffer.forGood)
        yield* revoked ? this.#revoke(buffer, false) : this.#restore(buffer);
      this.putFile(buffer);
    }
  }

  /** One buffer, never to come back; the caller has the memory lock. What is revoked already is not drained again. */
  *end(buffer: Buffer): Steps {
    if (!buffer.revoked) return yield* this.#revoke(buffer, true);
    yield buffer.resv;
    buffer.forGood = true;
    buffer.resv.release();
  }

  *#revoke(buffer: Buffer, forGood: boolean): Steps {
    yield buffer.resv;
    buffer.revoked = true;
    buffer.forGood = forGood;
    this.#tell(buffer);
    yield signaled(buffer, USAGES.indexOf('BOOKKEEP'));
    buffer.resv.release();
    buffer.draining = true;
    yield { ready: () => liveMaps(buffer) === 0, says: () => unmapsOwed(buffer) };
    buffer.draining = false;
  }

  *#restore(buffer: Buffer): Steps {
    if (this.tellsOnRestore) {
      yield buffer.resv;
      this.#tell(buffer);
      yield signaled(buffer, USAGES.indexOf('BOOKKEEP'));
      buffer.resv.release();
    }
    yield buffer.resv;
    buffer.revoked = false;
    buffer.resv.release();
  }

  #tell(buffer: Buffer): void {
    for (const party of buffer.attached) {
      party.live = false;
      if (party.kind === 'iommufd') continue;
      this.callbacks.push(`${party.name} of ${buffer.name}`);
      if (party.kind !== 'prompt' || party.maps === 0 || party.working) continue;
      party.working = true;
      this.begin(`worker of ${party.name}`, this.#work(party));
    }
  }

  *#work(party: Party): Steps<string> {
    yield* this.unmap(party);
    party.working = false;
    return 'ok';
  }
}

/** The table of attach: what is asked of an importer, then of the buffer, then of the importer again. */
function attachAnswer({ kind }: Party, { revoked }: Buffer): string | undefined {
  if (kind === 'static' || kind === 'no peer') return 'EOPNOTSUPP';
  if (revoked) return 'ENODEV';
  return kind === 'untold' ? 'EOPNOTSUPP' : undefined;
}

function bufferOf({ name, buffer }: Party): Buffer {
  if (buffer === undefined) throw new Error(`${name} is not attached`);
  return buffer;
}

/** The last file reference is gone: the buffer leaves the list of its device, if it still has one. */
function* released({ dev, ...buffer }: Buffer): Steps {
  if (dev === undefined) return;
  yield dev.memoryLock;
  dev.buffers = dev.buffers.filter(({ name }) => name !== buffer.name);
  dev.memoryLock.release();
}

export const liveMaps = ({ attached }: Buffer): number => attached.reduce((sum, { maps }) => sum + maps, 0);

/** The drain token: one for each live map, and one that a revoke puts aside while it waits for them. */
export const tokenOf = (buffer: Buffer): number => liveMaps(buffer) + (buffer.draining ? 0 : 1);

function signaled({ fences }: Buffer, usage: number): Wait {
  const pending = (): Pending[] => fences.filter((fence) => fence.usage <= usage && !fence.signaled);
  return {
    ready: () => pending().length === 0,
    says: () =>
      pending()
        .map((fence) => `fence ${fence.name} (${USAGES[fence.usage]})`)
        .join(', '),
  };
}

function unmapsOwed({ name, attached }: Buffer): string {
  const owing = attached.filter(({ maps }) => maps > 0);
  const each = owing.map((it) => `${it.maps === 1 ? 'the unmap' : `${it.maps} unmaps`} of importer ${it.name}`);
  return `${each.join(' and ')} of ${name}`;
}
