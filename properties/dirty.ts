/**
 * The dirty oracle: every leaf of the naive tables is dirty or not. A write through a domain that tracks makes its
 * leaf dirty; enabling, and a read that does not say NO_CLEAR, make it clean; a read tells, bit by bit of its bitmap,
 * whether that stretch meets a dirty leaf, as far as areas follow one another without a gap.
 *
 * Source: iommufd 2.18
 */
import type { Domain } from '../impl/iommu/domain.ts';
import {
  DIRTY_BITMAP_NO_CLEAR,
  DIRTY_TRACKING_ENABLE,
  getDirtyBitmap,
  setDirtyTracking,
} from '../impl/iommufd/dirty.ts';
import { drain, Task, type Thread } from '../impl/kernel/thread.ts';
import { fromBigint } from '../impl/kernel/units.ts';
import { type Area, type Ioas, reach, type State } from '../model/spec.ts';
import type { Command, Handle } from '../trace/command.ts';
import { type Leaf, NaiveTables } from './leaves.ts';
import type { Seen, Watcher } from './mapping/walk.ts';
import { pick } from './view.ts';
import type { World } from './world.ts';

const PAGE = 0x1000n;
const DIRTY_TRACKING = 2n;
const BITS = 64n;

/** Numbers drawn one after the other from one; each below its bound. */
function draws(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
}

type Draw = ReturnType<typeof draws>;

/** What one GET is asked for. In bytes. */
interface Range {
  readonly iova: bigint;
  readonly length: bigint;
  readonly pageSize: bigint;
  readonly keep: boolean;
}

/** The domains of an IOAS that have a name of their own. */
const manual = ({ domains }: Ioas): Ioas['domains'] => domains.filter(({ automatic }) => !automatic);

export class DirtyWatcher implements Watcher {
  readonly name = 'dirty bits';
  readonly #tables = new NaiveTables();
  /** Domains that can tell, and whether they track now. */
  readonly #tracking = new Map<Handle, boolean>();
  /** How many bits were told. */
  told = 0;

  begin({ machine }: World): void {
    for (const device of machine.devices.values()) device.dirtyTracking = true;
  }

  /** Three domains of four can tell. */
  adapt(_: World, command: Command, besides: number): Command {
    return command.do === 'hwpt_alloc' && besides % 4 !== 0 ? { ...command, flags: DIRTY_TRACKING } : command;
  }

  saw({ command, result, calls }: Seen): string[] {
    this.#tables.follow(calls);
    if (command.do !== 'hwpt_alloc' || 'err' in result) return [];
    if (command.flags === DIRTY_TRACKING) this.#tracking.set(command.as, false);
    else this.#tracking.delete(command.as);
    return [];
  }

  besides(world: World, besides: number): string[] {
    const draw = draws(besides);
    const wrong: string[] = [];
    for (let i = draw(4); i > 0; i--) wrong.push(...this.#write(world, draw));
    const { state, machine } = world;
    const ioas = pick(
      state.ioases.filter((it) => manual(it).length > 0),
      draw(64),
    );
    const hwpt = ioas && pick(manual(ioas), draw(64));
    const domain = hwpt && [...machine.iommu.domains].find(({ name }) => name === hwpt.name);
    if (ioas === undefined || hwpt === undefined || domain === undefined) return wrong;
    if (draw(3) === 0) wrong.push(...this.#set(world, hwpt.name, domain, ioas, draw(4) > 0));
    for (let i = draw(4); i > 0; i--) wrong.push(...this.#mark(domain, ioas, draw));
    for (let i = draw(4); i > 0; i--) {
      wrong.push(...this.#get(world, hwpt.name, domain, ioas, rangeIn(state, ioas, draw)));
    }
    return wrong;
  }

  /** A device writes somewhere in an area, or beside it. */
  #write({ state, machine }: World, draw: Draw): string[] {
    const device = pick(state.devices, draw(64));
    const area = pick(
      state.ioases.flatMap(({ areas }) => areas),
      draw(1024),
    );
    if (device === undefined || area === undefined) return [];
    const iova = area.iova + (area.length * BigInt(draw(70))) / 64n;
    if (iova >= 1n << 64n) return [];
    const domain = machine.domainOf(device.name);
    const reached = domain?.write(fromBigint(iova)) !== undefined;
    const expected = reach(state, device.name, iova)?.prot.includes('w') === true;
    if (reached && domain && this.#tracking.get(domain.name)) {
      for (const leaf of this.#tables.of(domain)) if (meets(leaf, iova, iova + 1n)) leaf.dirty = true;
    }
    const found = reached ? 'does' : 'does not';
    return reached === expected ? [] : [`a write of ${device.name} at 0x${iova.toString(16)} ${found} reach memory`];
  }

  /** The same by the IOMMU driver's own hand, as a test asks it to. */
  #mark(domain: Domain, { areas }: Ioas, draw: Draw): string[] {
    const area = pick(areas, draw(64));
    if (area === undefined || !this.#tracking.get(domain.name)) return [];
    const iova = area.iova + ((area.length - 1n) * BigInt(draw(65))) / 64n;
    const there = this.#tables.of(domain).filter((leaf) => meets(leaf, iova, iova + 1n));
    for (const leaf of there) leaf.dirty = true;
    const marked = domain.setDirty(fromBigint(iova));
    return marked === area.live && marked === there.length > 0 ? [] : [`0x${iova.toString(16)} is marked: ${marked}`];
  }

  #set(world: World, name: Handle, domain: Domain, { areas }: Ioas, enable: boolean): string[] {
    const expected = this.#tracking.has(name) ? undefined : 'EOPNOTSUPP';
    const { ctx, id } = objectOf(world, name);
    const answer = run(world, setDirtyTracking(ctx, id, enable ? DIRTY_TRACKING_ENABLE : 0));
    if (answer !== expected) return [`SET of ${name} answers ${answer}, and should ${expected}`];
    if (expected !== undefined) return [];
    this.#tracking.set(name, enable);
    if (enable) for (const area of areas) clean(this.#tables.of(domain), area.iova, area.iova + area.length);
    return [];
  }

  #get(world: World, name: Handle, domain: Domain, ioas: Ioas, range: Range): string[] {
    const { iova, length, pageSize, keep } = range;
    const bitmap = new Uint8Array(Number(BITS / 8n));
    const { ctx, id } = objectOf(world, name);
    const [from, size, page] = [fromBigint(iova), fromBigint(length), fromBigint(pageSize)];
    const args = { iova: from, length: size, pageSize: page, flags: keep ? DIRTY_BITMAP_NO_CLEAR : 0, reserved: 0 };
    const answer = run(world, getDirtyBitmap(ctx, id, args, bitmap));
    const [at, bytes, by] = [iova, length, pageSize].map((it) => `0x${it.toString(16)}`);
    const asked = `GET of ${name}, ${at} length ${bytes} by ${by}`;
    const expected = refusal(world, range) ?? (this.#tracking.has(name) ? undefined : 'EOPNOTSUPP');
    if (answer !== expected) return [`${asked}, answers ${answer}, and should ${expected}`];
    if (expected !== undefined) return [];
    const end = covered(ioas.areas, iova, iova + length);
    const dirty = this.#tables.of(domain).filter((leaf) => leaf.dirty && meets(leaf, iova, end));
    const wrong: string[] = [];
    for (let bit = 0n; bit < BITS; bit++) {
      const [first, after] = [iova + bit * pageSize, iova + (bit + 1n) * pageSize];
      const should = first < end && dirty.some((leaf) => meets(leaf, first, after < end ? after : end));
      const is = (((bitmap[Number(bit / 8n)] as number) >> Number(bit % 8n)) & 1) === 1;
      if (should) this.told++;
      if (should !== is) wrong.push(`${asked}: bit ${bit} is ${is ? 'set' : 'clear'}`);
    }
    if (!keep) clean(this.#tables.of(domain), iova, end);
    return wrong;
  }
}

/** From some bytes before an area, or from its beginning; as many pages as the bitmap has, or fewer. */
function rangeIn({ machine }: State, { areas }: Ioas, draw: Draw): Range {
  const area = pick(areas, draw(64));
  const pageSize = [PAGE, machine.grain, 2n * PAGE, 16n * PAGE, PAGE, PAGE, 0n, 1n << 63n][
    draw(draw(4) === 0 ? 8 : 4)
  ] as bigint;
  const before = [0n, 0n, 0n, 0n, 0n, 0n, PAGE, machine.grain, 1n][draw(9)] as bigint;
  const iova = (area?.iova ?? 0x100_0000n) - before;
  const count = BigInt(draw(Number(BITS) + 1));
  const length = draw(16) === 0 ? count * 0x100n : count * (pageSize > 0n && pageSize < 1n << 32n ? pageSize : PAGE);
  return { iova: draw(8) === 0 || iova < 0n ? 0n : iova, length, pageSize, keep: draw(3) === 0 };
}

/** What is refused of any domain. */
function refusal({ machine, state }: World, { iova, length, pageSize }: Range): string | undefined {
  if (length === 0n && (machine.kernel.features.dirtyLengthChecked || iova > 0n))
    return machine.kernel.features.dirtyLengthChecked ? 'EINVAL' : 'EOVERFLOW';
  const { grain } = state.machine;
  if (iova % grain !== 0n || (iova + length) % grain !== 0n || pageSize === 0n) return 'EINVAL';
  return iova % pageSize !== 0n || (iova + length) % pageSize !== 0n ? 'EINVAL' : undefined;
}

const meets = (leaf: Leaf, iova: bigint, end: bigint): boolean => leaf.iova < end && iova < leaf.iova + leaf.length;

function clean(leaves: readonly Leaf[], iova: bigint, end: bigint): void {
  for (const leaf of leaves) if (meets(leaf, iova, end)) leaf.dirty = false;
}

/** How far areas follow one another from `iova` on. A length of 0, where it is taken, is everything. */
function covered(areas: readonly Area[], iova: bigint, end: bigint): bigint {
  let at = iova;
  for (const area of areas) if (area.iova <= at && at < area.iova + area.length) at = area.iova + area.length;
  return end === iova || at < end ? at : end;
}

function objectOf({ machine }: World, name: Handle): { ctx: Parameters<typeof setDirtyTracking>[0]; id: number } {
  const named = machine.names.get(name);
  if (named?.kind !== 'object') throw new Error(`${name} is no object`);
  return { ctx: named.object.ctx, id: named.object.id };
}

const run = <T>({ machine }: World, thread: Thread<T>): T => drain(new Task('property', machine.kernel), () => thread);
