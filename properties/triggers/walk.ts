/** A sequence of triggers: every step in the implementation and in the oracle, then the rules. */
import { closeBuffer, perform } from './calls.ts';
import { type Draw, stepOf } from './draw.ts';
import { newGhost } from './ghost.ts';
import { expect } from './oracle.ts';
import { brokenRules, remember } from './rules.ts';
import { TriggerScene } from './scene.ts';
import { type Answer, type Kind, type Step, showStep } from './step.ts';

/** Implementation and oracle disagree, or a rule is broken. The message has what is wrong, and every step. */
export class TriggerBreach extends Error {
  override readonly name = 'TriggerBreach';
}

export interface TriggerCase {
  readonly kinds: readonly Kind[];
  readonly kernel: string;
  readonly draws: readonly Draw[];
}

/** Told of every step and what it answered, for coverage. */
export type Told = (step: Step, answer: Answer) => void;

/** Walk the case to its end, and close everything. Fails with a TriggerBreach. */
export function walkTriggers({ kinds, kernel, draws }: TriggerCase, told?: Told): void {
  const scene = new TriggerScene(kinds, kernel);
  const ghost = newGhost(kinds, scene.kernel.features.buffersFirst);
  const history: string[] = [];
  const fail = (wrong: readonly string[]): void => {
    if (wrong.length === 0) return;
    const devices = kinds.map((kind, i) => `  dev${i}: ${showKind(kind)}`);
    const steps = history.map((line, i) => `${String(i + 1).padStart(4)}  ${line}`);
    throw new TriggerBreach([...wrong, `as Linux ${kernel}`, ...devices, ...steps].join('\n'));
  };
  for (const draw of draws) {
    const step = stepOf(draw, ghost);
    if (step === undefined) continue;
    const wanted = expect(ghost, step);
    history.push(`${showStep(step)}: ${wanted}`);
    fail(attempt(() => [...wrongAnswer(perform(scene, step), wanted), ...brokenRules(scene, ghost)]));
    remember(scene);
    told?.(step, wanted);
  }
  history.push('everything is closed');
  fail(attempt(() => leftOver(scene)));
}

const wrongAnswer = (answer: Answer, wanted: Answer): string[] =>
  answer === wanted ? [] : [`answers ${answer}, and not ${wanted}`];

/** Devices first, then the buffers that outlive them: what is left of either. */
function leftOver(scene: TriggerScene): string[] {
  for (const dev of scene.devices.keys()) perform(scene, { do: 'close', dev });
  for (const buffer of scene.buffers) if (!buffer.closed) closeBuffer(scene, buffer);
  return scene.devices.flatMap(({ name, registration, dmabufs, pmUsage }) =>
    registration.count === 1 && dmabufs.length === 0 && pmUsage === 0
      ? []
      : [`${name} is left with ${registration.count} registrations, ${dmabufs.length} buffers, ${pmUsage} users`],
  );
}

/** A splat is a breach, too. */
function attempt(work: () => string[]): string[] {
  try {
    return work();
  } catch (error) {
    return [error instanceof Error ? (error.stack ?? error.message) : String(error)];
  }
}

const showKind = (kind: Kind): string =>
  Object.entries(kind)
    .filter(([, value]) => value !== false)
    .map(([name, value]) => (value === true ? name : `${name} ${value}`))
    .join(', ');
