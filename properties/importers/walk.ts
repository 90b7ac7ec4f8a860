/**
 * A sequence with importers: every step is begun in the implementation and in the oracle, both run everybody as far as
 * they go, and then their answers are compared, and what can be seen. In the end all work is done and all is unmapped,
 * also by those who never did: then everybody's call returns, and nothing is left.
 */
import { blame } from '../../explore/blame.ts';
import { leftInMachine } from '../leftovers.ts';
import { perform } from './calls.ts';
import { type Draw, stepOf } from './draw.ts';
import { difference, wrongAfter } from './look.ts';
import { Scene, VICTIM } from './scene.ts';
import { type Step, showStep } from './steps.ts';

/** Implementation and oracle disagree. The message has every step. */
export class ImporterBreach extends Error {
  override readonly name = 'ImporterBreach';
}

export interface ImporterCase {
  /** Whether both exporters are on one bus, and so in one hot reset. */
  readonly oneBus: boolean;
  readonly kernel: string;
  readonly draws: readonly Draw[];
}

/** Told of every step, what it answered if it has returned, and how many wait now. */
export type Told = (step: Step, answer: string, waiting: readonly string[]) => void;

/** Walk the case to its end, and close everything. Fails with an ImporterBreach. */
export function walkImporters({ oneBus, kernel, draws }: ImporterCase, told?: Told): void {
  const walk = new Walk(
    new Scene(oneBus, kernel),
    `as Linux ${kernel}, exporters on ${oneBus ? 'one bus' : 'two'}`,
    told,
  );
  walk.take({ do: 'export', dev: 'dev0', as: 'b0', ranges: 1 }, 0);
  for (const draw of draws) {
    const step = stepOf(draw, walk.scene, walk.length + 1);
    if (step !== undefined) walk.take(step, draw.first);
  }
  walk.end();
}

class Walk {
  readonly scene: Scene;
  readonly #history: string[];
  readonly #told: Told | undefined;
  length = 0;

  constructor(scene: Scene, title: string, told: Told | undefined) {
    this.scene = scene;
    this.#history = [title];
    this.#told = told;
  }

  take(step: Step, first: number): void {
    const { scene } = this;
    const shown = showStep(step);
    const name = `${shown} [${++this.length}]`;
    const line = `${String(this.length).padStart(4)}  ${shown}`;
    const at = this.#history.push(line) - 1;
    try {
      perform(scene, step, name);
      const got = scene.threads.settle(first).map((ended) => `${ended.name}: ${ended.answer}`);
      const expected = scene.oracle.settle(first).map((ended) => `${ended.name}: ${ended.answer}`);
      const waiting = blame(scene.threads.waiting);
      const returned = got.find((it) => it.startsWith(`${name}: `))?.slice(name.length + 2);
      const waits = waiting.find((it) => it.startsWith(`${name} `))?.slice(name.length + 1);
      this.#history[at] = `${line}: ${returned ?? waits ?? 'ok'}`;
      this.#history.push(...got.filter((it) => !it.startsWith(`${name}:`)).map((it) => `          and then ${it}`));
      this.#fail([...difference('who returns', got, expected), ...wrongAfter(scene)]);
      this.#told?.(step, returned ?? (waits === undefined ? 'ok' : 'waits'), waiting);
    } catch (error) {
      if (error instanceof ImporterBreach) throw error;
      this.#fail([error instanceof Error ? (error.stack ?? error.message) : String(error)]);
    }
  }

  #fail(wrong: readonly string[]): void {
    if (wrong.length === 0) return;
    const waiting = blame(this.scene.threads.waiting);
    const still = waiting.length === 0 ? [] : ['who waits in the end:', ...waiting.map((line) => `    ${line}`)];
    throw new ImporterBreach([...this.#history, ...wrong, ...still].join('\n'));
  }

  /** V-70: once all fences signal and all importers unmap, everything terminates; then all is closed. */
  end(): void {
    const { scene } = this;
    const { oracle, machine } = scene;
    for (let step = this.#helps(); step !== undefined; step = this.#helps()) this.take(step, 0);
    this.#nobodyWaits('everything is done', ({ name }) => !name.startsWith('removal of '));
    for (const party of [...oracle.parties]) {
      if (party.kind === 'iommufd') this.take({ do: 'unmap area', area: party.name, buffer: '' }, 0);
      else this.take({ do: 'detach', importer: party.name }, 0);
    }
    for (const { fd, handle } of oracle.buffers) if (fd) this.take({ do: 'close', buffer: handle }, 0);
    for (const { fd, name } of scene.devices) if (fd) this.take({ do: 'device close', dev: name }, 0);
    this.#nobodyWaits('everything is closed', () => true);
    machine.execute({ do: 'vfio_close', dev: VICTIM });
    machine.execute({ do: 'iommufd_close', ctx: 'ctx' });
    this.#fail([...leftInMachine(machine), ...machine.audit()]);
  }

  /** Of those who are meant: a driver that is to go waits for the user as long as he likes. */
  #nobodyWaits(when: string, meant: (task: { readonly name: string }) => boolean): void {
    if (this.scene.threads.waiting.some(({ task }) => meant(task))) this.#fail([`${when}, and somebody still waits`]);
  }

  /** What lets somebody go on: a fence, or an unmap, also of those who never unmap of themselves. */
  #helps(): Step | undefined {
    const { fences, parties } = this.scene.oracle;
    const fence = fences.find(({ signaled }) => !signaled);
    if (fence !== undefined) return { do: 'signal', fence: fence.name };
    const owing = parties.find(({ maps, busy }) => maps > 0 && !busy);
    return owing && { do: 'unmap', importer: owing.name };
  }
}
