/**
 * A sequence of raw calls: a process opens what it needs, as any would, and then calls whatever the intents make; in
 * the end all is closed, and nothing may be left.
 */
import { IommufdCtx } from '../../impl/iommufd/context.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import { unmapRange } from '../../impl/iommufd/unmap.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { vfioConfigMemory } from '../../impl/vfio/ioctl.ts';
import { VfioDeviceFile } from '../../impl/vfio/vfio-device.ts';
import type { Intent } from '../intents.ts';
import type { Case } from '../walk.ts';
import { callOf, type RawCall } from './calls.ts';
import { Draw } from './draw.ts';
import { Imports } from './observe.ts';
import { meantCall, resolveCall } from './resolve.ts';
import { type Made, showCall } from './show.ts';
import { spoil } from './spoil.ts';
import { type Answered, guarded, judgeAll, makeCall, RawBreach } from './step.ts';
import { RawWorld } from './world.ts';

/** Calls between two looks at everything. */
const WHOLE_EVERY = 32;
/** One call in so many is not made, but something else: open, close, memory, a device that is switched off. */
const SET_UP_ONCE_IN = 16;
/** Of the calls, two in five are bad. */
const [SPOILED, OF] = [2, 5];
const MOST_FDS = 14;

/** Told of every call that was made. */
export type RawWitness = (answered: Answered) => void;

/** Walk to the end. Fails with a RawBreach. */
export function rawWalk({ config, kernel, intents, closing }: Case, witness: RawWitness): void {
  const walk = new RawWalk(new RawWorld(config, kernel), witness);
  try {
    walk.begin(closing);
    intents.forEach((intent, i) => {
      walk.step(intent);
      if (i % WHOLE_EVERY === WHOLE_EVERY - 1) walk.look();
    });
    walk.look();
    walk.end(closing);
  } catch (error) {
    if (error instanceof RawBreach) error.history = walk.history;
    throw error;
  }
}

type Event = Made | { readonly what: string; readonly answer: number | string };

class RawWalk {
  readonly #history: Event[] = [];
  readonly #world: RawWorld;
  readonly #witness: RawWitness;
  readonly #imports = new Imports();

  constructor(world: RawWorld, witness: RawWitness) {
    this.#world = world;
    this.#witness = witness;
  }

  /** Everything that has been done, for a person. */
  get history(): string[] {
    return this.#history.map((event) => ('call' in event ? showCall(event) : `${event.what}: ${event.answer}`));
  }

  /** Something to work with. `kind` says which file, and whether there is a container of either version. */
  begin(kind: number): void {
    const world = this.#world;
    const { machine } = world;
    const ctx = this.#open(kind % 2 === 0 ? '/dev/iommu' : '/dev/vfio/vfio');
    const ioas = this.#made(callOf('IOAS_ALLOC', ctx), 8);
    this.#made(callOf('IOAS_ALLOC', ctx), 8);
    if (kind % 3 > 0) {
      this.#call(callOf('VFIO_IOAS', ctx, { op: 1, ioas_id: ioas }));
      this.#call({ ...callOf('SET_IOMMU', ctx), value: kind % 3 === 1 ? 1 : 3 });
    }
    for (const name of machine.devices.keys()) {
      const fd = this.#open(`/dev/vfio/devices/${name}`);
      this.#call(callOf('BIND_IOMMUFD', fd, { iommufd: ctx }));
      this.#call(callOf('ATTACH_PT', fd, { pt_id: ioas }));
    }
    world.mapMemory(16);
    world.createMemfd(8);
  }

  step(intent: Intent): void {
    const draw = new Draw(intent);
    if (draw.oneIn(SET_UP_ONCE_IN)) {
      this.#setUp(draw);
      return;
    }
    const name = meantCall(intent.what);
    const call = resolveCall(name, draw, this.#world);
    this.#call(draw.below(OF) < SPOILED ? spoil(call, name, draw, this.#world) : call);
  }

  look(): void {
    judgeAll(this.#world, this.#imports);
  }

  /** Close everything in an order that `order` decides; then nothing is left. */
  end(order: number): void {
    const draw = new Draw({ what: 0, pick: 0, from: 0, size: 0, at: 0, how: 0, odd: order % 1024 });
    for (let fds = this.#world.fds; fds.length > 0; fds = this.#world.fds) this.#close(draw.pick(fds) as number);
    this.#cutKnots();
    const { machine } = this.#world;
    const { files, pages } = machine.kernel.live;
    const left = [...files, ...pages].map(({ label }) => label);
    for (const { name } of machine.iommu.domains) left.push(`domain ${name}`);
    for (const { name, pinned } of machine.ram.backings) if (pinned > 0) left.push(`${pinned} pins of ${name}`);
    if (left.length > 0) throw new RawBreach('left over', left);
  }

  /**
   * MAP_FILE takes any file as long as no domain looks at it, an iommufd itself and a device that is bound to it
   * included. Such a mapping keeps its own iommufd for ever, in the kernel as here; without it, all must go.
   */
  #cutKnots(): void {
    const { machine, calls } = this.#world;
    for (const ctx of [...machine.contexts].filter(({ file }) => file.references > 0)) {
      for (const ioas of ctx.objects.filter((object) => object instanceof Ioas)) {
        for (const { iova, last, pages } of ioas.iopt.areas.all()) {
          const what = pages?.source.kind === 'file' ? pages.source.file.what : undefined;
          if (what instanceof IommufdCtx || what instanceof VfioDeviceFile) {
            guarded(() => calls.call(() => unmapRange(ioas.iopt, iova, last)));
          }
        }
      }
    }
  }

  #setUp(draw: Draw): void {
    const world = this.#world;
    const { fds } = world;
    switch (draw.below(8)) {
      case 0:
        if (fds.length < MOST_FDS) this.#open(draw.oneIn(2) ? '/dev/iommu' : '/dev/vfio/vfio');
        break;
      case 1:
        this.#open(`/dev/vfio/devices/${draw.pick([...world.machine.devices.keys()])}`);
        break;
      case 2:
        if (world.blocks.length < 4) world.mapMemory(1 + draw.below(16));
        else if (fds.length < MOST_FDS) world.createMemfd(1 + draw.below(8));
        break;
      case 3:
      case 4:
        this.#memory(draw);
        break;
      default: {
        // The last iommufd is closed less often than anything else.
        const fd = draw.pick(fds);
        if (fd !== undefined && (world.kindOf(fd) === 'buffer' || draw.oneIn(4))) this.#close(fd);
      }
    }
  }

  /** A device's memory goes, and mostly comes back. */
  #memory(draw: Draw): void {
    const device = this.#world.deviceFile(draw.pick(this.#world.of('device')) ?? -1)?.device;
    if (device === undefined) return;
    const enable = draw.below(3) > 0;
    this.#history.push({ what: `memory of ${device.name} ${enable ? 'on' : 'off'}`, answer: 'ok' });
    const { calls, machine } = this.#world;
    guarded(() => calls.call(() => vfioConfigMemory(device, enable)));
    this.#world.fingerprint = undefined;
    machine.takeCalls();
    this.look();
  }

  #open(path: string): number {
    const fd = guarded(() => this.#world.calls.open(path));
    this.#history.push({ what: `open ${path}`, answer: fd });
    if (isErrno(fd)) return -1;
    this.#world.opened(fd);
    return fd;
  }

  #close(fd: number): void {
    this.#history.push({ what: `close ${fd}`, answer: 'ok' });
    guarded(() => this.#world.calls.close(fd));
    this.#world.closed(fd);
    this.#world.machine.takeCalls();
    this.look();
  }

  #call(call: RawCall): void {
    const made: Made = { call: { ...call, bytes: call.bytes.slice() } };
    this.#history.push(made);
    const answered = makeCall(this.#world, call, this.#imports);
    made.answered = answered;
    this.#witness(answered);
  }

  /** A call that makes an object; its number, which the kernel writes `offset` bytes into the structure. */
  #made(call: RawCall, offset: number): number {
    this.#call(call);
    return new DataView(call.bytes.buffer).getUint32(offset, true);
  }
}
