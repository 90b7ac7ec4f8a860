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
import { current, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { differences, stateOf } from '../../properties/faults/state.ts';
import { leftInMachine } from '../../properties/leftovers.ts';
import { wholeDomain } from '../../properties/observe.ts';
import type { Command } from '../../trace/command.ts';
import { REVOKE, restore, SCENES, type Scene } from './fault-scenes.ts';
import { World } from './fault-world.ts';

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
  const thread =
    made === undefined ? machine.start('operation', operation as Command).thread : syscall(task, () => made);
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
  if (rig.known) rig.expectAtRest();
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
    if (site !== '' && fails(this.#scene, site)) return [{ answer: this.#answer(site), state: this.#alone }];
    const fault = site === '' ? undefined : { nth: 1, site };
    const ends = this.#ends.get(site) ?? [first, second()].map((choose) => race(this.#scene, choose, fault));
    this.#ends.set(site, ends);
    return ends;
  }

  #answer(site: string): string {
    return this.#scene.answers?.[site] ?? (/^(copy_|pin_user)/.test(site) ? 'EFAULT' : 'ENOMEM');
  }
}

/** A fault there leaves nothing of the operation. */
const fails = ({ staysUntold, getsBy = [] }: Scene, site: string): boolean =>
  !getsBy.includes(site) && !(site === 'copy_to_user' && staysUntold);

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
  rig.close();
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
        if (end.answer !== 'ok' && fails(scene, end.site)) again(end, scene);
      }
      closeAll(end.rig);
    });
  }
  console.log(`${name}: ${schedules} schedules`);
  expect([...sites].toSorted()).toEqual([...new Set(scene.sites)].toSorted());
});
