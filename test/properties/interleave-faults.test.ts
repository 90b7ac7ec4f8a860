/**
 * One operation of which each fault point fails in turn, against one revoke, in every interleaving with few
 * preemptions. The operation fails as if the revoke had come before or after it, and the revoke comes about as if the
 * operation had never been; then the operation is made again, and must do what it would have done.
 *
 * Source: iommufd 4.5 (R1, R3, R5, R8, R17), 5; I-62, I-63, I-72
 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { type Choose, following, interleave } from '../../explore/interleave.ts';
import { handOverToCaller } from '../../impl/iommufd/accounting.ts';
import { ioasChangeProcess } from '../../impl/iommufd/change-process.ts';
import {
  type MockAccess,
  mockAccessPages,
  mockCreateAccess,
  mockDestroyAccess,
  NEEDS_PIN_PAGES,
} from '../../impl/iommufd/mock-access.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { current, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { bytes, fromBigint } from '../../impl/kernel/units.ts';
import { differences, stateOf } from '../../properties/faults/state.ts';
import { leftInMachine } from '../../properties/leftovers.ts';
import { wholeDomain } from '../../properties/observe.ts';
import type { Command } from '../../trace/command.ts';
import { MAP, MEMORY } from '../unit/access-rig.ts';
import { A, mapFileOf, Rig } from '../unit/iommufd-rig.ts';

/** With memory `m` and `f`, and what the scene has besides. */
class World extends Rig {
  readonly mock: MockAccess | undefined;

  constructor({ before, access }: Scene) {
    super();
    this.must(...MEMORY, ...before);
    this.mock = access ? this.#access() : undefined;
    this.calls();
  }

  #access(): MockAccess {
    const mock = this.call(mockCreateAccess(this.ioas().ctx, this.ioas().id, NEEDS_PIN_PAGES));
    if (isErrno(mock)) throw new Error(`an access answers ${mock}`);
    return mock;
  }
}

type Operation = Command | ((world: World) => Thread<unknown>);

interface Scene {
  readonly before: readonly Command[];
  /** An access is there, too, for pinning. */
  readonly access?: true;
  readonly operation: Operation;
  readonly preemptions?: number;
  /** What the user is not told of stays done. */
  readonly staysUntold?: true;
  /** Fault points at which it fails, besides those that all have. */
  readonly sites: readonly string[];
}

const REVOKE: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };
const restore: Command = { ...REVOKE, enable: true };
const attach: Command = { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' };
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'h' };
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };
const B = A + 0x10_0000n;
/** Two areas of the buffer, side by side, and one of memory. */
const areas: readonly Command[] = [
  mapFileOf(),
  { ...mapFileOf(), iova: A + 0x4000n, start: 0x8000n },
  { ...MAP, iova: B },
];
const copy: Command = {
  do: 'ioas_copy',
  dst: 'other',
  src: 'ioas',
  src_iova: A + 0x1000n,
  length: 0x6000n,
  dst_iova: A,
  prot: 'rw',
};
const unmap: Command = { do: 'ioas_unmap', ioas: 'ioas', iova: 0n, length: 2n ** 64n - 1n };
const mapMemfd: Command = { ...mapFileOf(), fd: 'f' };

const COPIES = ['copy_from_user', 'copy_to_user'];
const TRACK = 'iopt_dmabuf_track_domain';
const FILL = ['batch_init', 'iommu_map', 'iommu_alloc_pages'];
const PIN = ['pin_user_pages', 'do_update_pinned'];
const DOMAIN = [
  'iommu_paging_domain_alloc',
  'iommufd_object_alloc',
  'iopt_reserve_iova',
  'iopt_table_add_domain',
  TRACK,
  ...FILL,
  ...PIN,
];

const SCENES: Readonly<Record<string, Scene>> = {
  'MAP_FILE of the buffer, with two domains': {
    before: [attach, hwpt],
    operation: mapFileOf(),
    preemptions: 2,
    staysUntold: true,
    sites: [...COPIES, 'iopt_alloc_pages', 'dma_buf_dynamic_attach', 'iopt_area_alloc', TRACK, ...FILL],
  },
  'COPY of two areas of the buffer': {
    before: [...areas, other, { ...hwpt, ioas: 'other' }, { ...hwpt, ioas: 'other', as: 'h2' }],
    operation: copy,
    staysUntold: true,
    sites: [...COPIES, 'iopt_get_pages', 'iopt_area_alloc', TRACK, ...FILL],
  },
  'ATTACH of the first domain': {
    before: areas,
    operation: attach,
    sites: [...COPIES, ...DOMAIN, 'iommufd_hw_pagetable_attach', 'iommu_attach_group'],
  },
  'HWPT_ALLOC of the second domain': {
    before: [...areas, attach],
    operation: hwpt,
    sites: [...COPIES, ...DOMAIN].filter((site) => !PIN.includes(site)),
  },
  'UNMAP of everything': {
    before: [...areas, attach],
    operation: unmap,
    staysUntold: true,
    sites: COPIES,
  },
  'CHANGE_PROCESS, of a context of files': {
    before: [attach, mapMemfd],
    operation: (rig) => ioasChangeProcess(rig.ioas().ctx, 0, handOverToCaller),
    sites: ['charge_current'],
  },
  'an access that pins memory beside the buffer': {
    before: areas,
    access: true,
    operation: ({ mock }) =>
      mockAccessPages(mock as MockAccess, { iova: fromBigint(B), length: bytes(0x3000), flags: 1 }),
    sites: ['iopt_area_add_access', 'batch_init', 'pages_to_xarray', 'mock_access_item', ...PIN],
  },
};

/** How a race ended. */
interface End {
  readonly answer: string;
  /** The point that failed, if one did. */
  readonly site: string | undefined;
  readonly state: readonly string[];
  readonly rig: World;
}

const short = (answer: unknown): string => {
  if (answer === undefined || typeof answer === 'number') return 'ok';
  return typeof answer === 'string' ? answer : ((answer as { readonly err?: string }).err ?? 'ok');
};

/** Of the fault points only the operation's own count. */
const own = (site?: string) => (passed: string) =>
  current().name === 'operation' && (site === undefined || site === passed);

function race(scene: Scene, choose: Choose, fault?: { nth: number; site?: string }): End {
  const rig = new World(scene);
  const { operation } = scene;
  const { machine } = rig;
  const { faults } = machine.kernel;
  const made = typeof operation === 'function' ? operation(rig) : undefined;
  const task = new Task('operation', machine.kernel);
  const thread = made === undefined ? machine.start('operation', operation as Command).thread : syscall(task, made);
  if (fault !== undefined) faults.arm(fault.nth, own(fault.site));
  const revoke = machine.start('revoke', REVOKE);
  let revoked = false;
  const [answer, taken] = interleave<unknown>([{ task, thread }, revoke], choose, (step) => {
    if (step.task.name === 'revoke' && step.wants === undefined) revoked = true;
    if (revoked) expect(reached(rig), 'mapped after the revoke returned').toEqual([]);
  }).map(short);
  const site = fault === undefined ? undefined : faults.failed;
  faults.disarm();
  expect(taken).toBe('ok');
  rig.expectAtRest();
  return { answer: answer as string, site, state: stateOf(machine), rig };
}

/** Device memory that any domain maps. */
const reached = ({ machine }: World): string[] =>
  [...machine.iommu.domains].flatMap((domain) =>
    wholeDomain(machine, domain).flatMap(({ memory }) => (memory.startsWith('dev0:') ? [memory] : [])),
  );

const first: Choose = () => 0;
const second = (): Choose => following([{ after: 0, to: 1 }]);

/** How the race may end: what both answer and leave one after the other, in either order. */
class Ends {
  readonly #scene: Scene;
  /** By the site that failed, or '' for none. */
  readonly #ends = new Map<string, readonly End[]>();
  /** The revoke alone. */
  readonly #alone: readonly string[];

  constructor(scene: Scene) {
    this.#scene = scene;
    const { rig } = race({ ...scene, operation: idle }, first);
    this.#alone = stateOf(rig.machine);
  }

  /** What is wrong with an end; nothing when it is one of those that may be. */
  wrong({ answer, site, state }: End): string[] {
    const allowed = this.#allowed(site);
    if (allowed.some((end) => end.answer === answer && differences(end.state, state).length === 0)) return [];
    const [nearest] = allowed;
    return [`${site}: ${answer}, not ${nearest?.answer}`, ...differences(nearest?.state ?? [], state)];
  }

  #allowed(site = ''): readonly Pick<End, 'answer' | 'state'>[] {
    if (site !== '' && !(site === 'copy_to_user' && this.#scene.staysUntold))
      return [{ answer: /^(copy_|pin_user)/.test(site) ? 'EFAULT' : 'ENOMEM', state: this.#alone }];
    const fault = site === '' ? undefined : { nth: 1, site };
    const ends = this.#ends.get(site) ?? [first, second()].map((choose) => race(this.#scene, choose, fault));
    this.#ends.set(site, ends);
    return ends;
  }
}

function* idle(): Thread<undefined> {}

/** Made again, with the memory there again: as in a world that has only seen the revoke. */
function again({ rig }: End, scene: Scene): void {
  const { rig: fresh } = race({ ...scene, operation: idle }, first);
  expect(once(rig, scene)).toBe(once(fresh, scene));
  expect(differences(stateOf(fresh.machine), stateOf(rig.machine))).toEqual([]);
}

function once(world: World, { operation }: Scene): string {
  world.must(restore);
  return short(typeof operation === 'function' ? world.call(operation(world)) : world.do(operation));
}

function closeAll(rig: World): void {
  if (rig.mock !== undefined) rig.call(mockDestroyAccess(rig.mock));
  rig.must({ do: 'iommufd_close', ctx: 'ctx' }, ...['dev0', 'dev1'].map((dev): Command => ({ do: 'vfio_close', dev })));
  rig.must(...['buf', 'f'].map((fd): Command => ({ do: 'fd_close', fd })));
  expect([rig.machine.audit(), leftInMachine(rig.machine)]).toEqual([[], []]);
}

/** Go on, when a thread could, in all but so many places. */
function bounded(preemptions: number, choose: (places: number) => number): Choose {
  let left = preemptions;
  return (places) => {
    const choice = left > 0 && places > 1 ? choose(places) : 0;
    if (choice > 0) left--;
    return choice;
  };
}

test.each(Object.entries(SCENES))('%s fails at each point, and is raced by a revoke', (name, scene) => {
  const ends = new Ends(scene);
  const sites = new Set<string>();
  let schedules = 0;
  for (let [nth, met] = [1, true]; met; nth++) {
    met = false;
    schedules += exhaust((choose) => {
      const end = race(scene, bounded(scene.preemptions ?? 1, choose), { nth });
      expect(ends.wrong(end)).toEqual([]);
      if (end.site !== undefined) {
        met = true;
        sites.add(end.site);
        if (end.answer !== 'ok' && !(end.site === 'copy_to_user' && scene.staysUntold)) again(end, scene);
      }
      closeAll(end.rig);
    });
  }
  console.log(`${name}: ${schedules} schedules`);
  expect([...sites].toSorted()).toEqual([...new Set(scene.sites)].toSorted());
});
