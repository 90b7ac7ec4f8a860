/**
 * A sequence with accesses: every step is carried out by the implementation and by the oracle, their answers are
 * compared, and then what can be seen.
 */
import { showCommand } from '../../trace/show.ts';
import { leftInMachine } from '../leftovers.ts';
import { performAccess } from './calls.ts';
import { performCommand } from './commands.ts';
import { type Draw, stepOf } from './draw.ts';
import { wrongAfter } from './look.ts';
import { newScene, type Scene } from './scene.ts';
import type { Outcome, Step } from './step.ts';

/** Implementation and oracle disagree. The message has every step. */
export class AccessBreach extends Error {
  override readonly name = 'AccessBreach';
}

export interface AccessCase {
  /** Which of the machines. */
  readonly machine: number;
  readonly kernel: string;
  readonly draws: readonly Draw[];
  /** Whether the context's descriptor is closed before the accesses are. */
  readonly ctxFirst: boolean;
}

/** Told of every step and what it answered, for coverage. */
export type Told = (step: Step, answer: string) => void;

/** Walk the case to its end, and close everything. Fails with an AccessBreach. */
export function walkAccesses({ machine, kernel, draws, ctxFirst }: AccessCase, told?: Told): void {
  const scene = newScene(machine, kernel);
  const history: string[] = [];
  const take = (step: Step, look: (scene: Scene) => readonly string[]): void => {
    const shown = showStep(step);
    try {
      const { answer, wrong } = perform(scene, step);
      history.push(`${shown}: ${answer}`);
      told?.(step, answer);
      fail([...wrong, ...look(scene)]);
    } catch (error) {
      if (error instanceof AccessBreach) throw error;
      history.push(shown);
      fail([error instanceof Error ? (error.stack ?? error.message) : String(error)]);
    }
  };
  const fail = (wrong: readonly string[]): void => {
    if (wrong.length === 0) return;
    const steps = history.map((line, i) => `${String(i + 1).padStart(4)}  ${line}`);
    throw new AccessBreach([`as Linux ${kernel}, machine ${machine}`, ...steps, ...wrong].join('\n'));
  };
  for (const draw of draws) {
    const step = stepOf(draw, scene.oracle);
    if (step !== undefined) take(step, wrongAfter);
  }
  for (const step of closing(scene, ctxFirst)) take(step, () => scene.machine.audit());
  fail([...leftInMachine(scene.machine), ...scene.machine.audit()]);
}

const perform = (scene: Scene, step: Step): Outcome =>
  step.do === 'command' ? performCommand(scene, step.command) : performAccess(scene, step);

/** Close everything, the context first or last. */
function closing({ oracle }: Scene, ctxFirst: boolean): Step[] {
  const command = (it: Extract<Step, { do: 'command' }>['command']): Step => ({ do: 'command', command: it });
  const ctx = command({ do: 'iommufd_close', ctx: 'ctx' });
  // An internal access belongs to an object of the context, which goes before the context does.
  const queues = oracle.accesses.filter(({ kind }) => kind === 'queue');
  const others = oracle.accesses.filter(({ kind }) => kind !== 'queue');
  const close = ({ name }: { readonly name: string }): Step => ({ do: 'close', access: name });
  const files = ['f0', 'f1', 'b0'].map((fd) => command({ do: 'fd_close', fd }));
  const devices = ['dev0', 'dev1'].map((dev) => command({ do: 'vfio_close', dev }));
  const rest = [...devices, ...others.map(close)];
  return [...queues.map(close), ...files, ...(ctxFirst ? [ctx, ...rest] : [...rest, ctx])];
}

function showStep(step: Step): string {
  if (step.do === 'command') return showCommand(step.command);
  const { do: what, ...rest } = step;
  const fields = Object.entries(rest).map(([name, value]) =>
    typeof value === 'bigint' || name === 'length' ? `${name} 0x${value.toString(16)}` : `${name} ${value}`,
  );
  return [what, ...fields].join(', ');
}
