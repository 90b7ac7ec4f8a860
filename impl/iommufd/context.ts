/**
 * An iommufd context: the file behind /dev/iommu, and the objects that live in it by number. Every object carries a
 * count of its users; the table's own makes one.
 *
 * Source: drivers/iommu/iommufd/main.c
 */

import type { Iommu } from '../iommu/domain.ts';
import type { IommuGroup } from '../iommu/group.ts';
import type { Errno } from '../kernel/errno.ts';
import { File } from '../kernel/file.ts';
import { LOCKLESS, looksAt, touches } from '../kernel/footprint.ts';
import { Ghost } from '../kernel/ghosts.ts';
import { disturb, tablesChange } from '../kernel/live.ts';
import { free } from '../kernel/poison.ts';
import { Rwsem } from '../kernel/rwsem.ts';
import { Splat, warnOn } from '../kernel/splat.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import type { AccountMode } from './accounting.ts';
import type { IommufdGroup } from './group.ts';

export type ObjectKind = 'ioas' | 'hwpt' | 'device' | 'access' | 'selftest';

/** What an object of a context has, whatever its kind. */
export abstract class IommufdObject {
  abstract readonly kind: ObjectKind;
  readonly ctx: IommufdCtx;
  /** Number in the table; 0 is nobody's. */
  id = 0;
  #users = 1;
  readonly ghost = new Ghost(this);
  /** Ghost: how many users the last audit has found. */
  usersFound = 0;
  /** Whether its number finds it. Before that the number is only taken. */
  finalized = false;

  constructor(ctx: IommufdCtx) {
    this.ctx = ctx;
  }

  /** 1 for the table, and 1 for each that uses it. */
  get users(): number {
    looksAt(LOCKLESS);
    return this.#users;
  }

  set users(users: number) {
    touches(LOCKLESS);
    disturb(this.ghost);
    this.#users = users;
  }

  /** Undo what the object holds; it is out of the table already. */
  abstract destroy(): Thread;
}

export class IommufdCtx {
  readonly file: File;
  readonly iommu: Iommu;
  /** Who is charged for pinned memory, unless its process may lock what it likes. */
  accountMode: Exclude<AccountMode, 'none'> = 'user';
  /** The IOAS that the calls of a VFIO container mean; none unless a user says. */
  vfioIoas: IommufdObject | undefined;
  /** By number; ids are the lowest free from 1 on. */
  readonly #objects: (IommufdObject | undefined)[] = [];
  /** Ghost: how often each number was given out. */
  readonly given: number[] = [];
  /** Every number below is taken. */
  #lowest = 1;
  /** Held for writing by who must know every IOAS. */
  readonly ioasCreationLock = new Rwsem('ioas_creation_lock', 'ioas_creation_lock');
  readonly #released: ((ctx: IommufdCtx) => void) | undefined;
  /** The groups of the bound devices. */
  readonly groups = new Map<IommuGroup, IommufdGroup>();

  /** `released` is told when the context is about to be freed. */
  constructor(name: string, iommu: Iommu, released?: (ctx: IommufdCtx) => void) {
    this.iommu = iommu;
    this.#released = released;
    this.file = new File(name, this, () => this.#release());
  }

  /** For what is complete when it gets its number. Fails: ENOMEM */
  add(object: IommufdObject): Errno | undefined {
    const full = this.reserve(object);
    if (full === undefined) this.finalize(object);
    return full;
  }

  /** iommufd_object_alloc(): take a number, by which nobody finds the object yet. Fails: ENOMEM */
  reserve(object: IommufdObject): Errno | undefined {
    if (shouldFail('iommufd_object_alloc')) return 'ENOMEM';
    touches(LOCKLESS);
    while (this.#objects[this.#lowest] !== undefined) this.#lowest++;
    object.id = this.#lowest;
    this.#objects[object.id] = object;
    this.given[object.id] = (this.given[object.id] ?? 0) + 1;
    tablesChange();
    return undefined;
  }

  /** iommufd_object_finalize(): the object is complete, and so is to be found. */
  finalize(object: IommufdObject): void {
    touches(LOCKLESS);
    object.finalized = true;
    tablesChange();
  }

  /** iommufd_get_object(), of any kind: counts one user more. ENOENT. */
  getAny(id: number): IommufdObject | 'ENOENT' {
    const object = this.#find(id);
    if (object === undefined) return 'ENOENT';
    object.users++;
    return object;
  }

  /** iommufd_put_object() */
  put(object: IommufdObject): void {
    const own = this.has(object) ? 1 : 0;
    if (object.users <= own) throw new Splat('refcount', `${object.kind} ${object.id}: put below the table's own`);
    object.users--;
  }

  /** Take the object out of the table, complete or not; the caller destroys it. */
  remove(object: IommufdObject): void {
    touches(LOCKLESS);
    warnOn(this.#objects[object.id] !== object, () => `${object.kind} ${object.id} is not in its table`);
    this.#objects[object.id] = undefined;
    tablesChange();
    this.#lowest = Math.min(this.#lowest, object.id);
    object.users--;
    if (this.vfioIoas === object) this.vfioIoas = undefined;
  }

  /** IOMMU_DESTROY. Fails: ENOENT, EBUSY while anything uses the object. Source: iommufd_destroy() */
  *destroy(id: number): Thread<Errno | undefined> {
    const object = this.#find(id);
    if (object === undefined) return 'ENOENT';
    if (object.users !== 1) return 'EBUSY';
    this.remove(object);
    yield* object.destroy();
    return undefined;
  }

  #find(id: number): IommufdObject | undefined {
    looksAt(LOCKLESS);
    const object = this.#objects[id];
    return object?.finalized === true ? object : undefined;
  }

  /** Whether the object is in the table, and so has a number. */
  has(object: IommufdObject): boolean {
    return this.#objects[object.id] === object;
  }

  /** By number, with gaps. */
  get table(): readonly (IommufdObject | undefined)[] {
    return this.#objects;
  }

  get objects(): readonly IommufdObject[] {
    return this.#objects.filter((object) => object !== undefined);
  }

  /** iommufd_fops_release(): nobody uses the file, so the objects hold each other at most; users go before used. */
  *#release(): Thread {
    for (let left = this.objects; left.length > 0; left = this.objects) {
      const free = left.filter((object) => object.users === 1);
      if (free.length === 0) throw new Splat('leak', `${left.length} objects of a closed iommufd use each other`);
      for (const object of free) {
        this.remove(object);
        yield* object.destroy();
      }
    }
    warnOn(this.groups.size > 0, 'a closed iommufd still has device groups');
    this.#released?.(this);
    free(this, 'iommufd_ctx', this.ioasCreationLock);
  }
}
