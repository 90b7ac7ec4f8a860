/** Every command of a sequence made by its bytes: model and invariants see no difference. */
import { expect, test } from 'vitest';
import { Coverage } from '../../properties/coverage.ts';
import { Digest } from '../../properties/digest.ts';
import { reportOf } from '../../properties/regression.ts';
import { checkSequences } from '../../properties/sequential.ts';
import type { MakeWorld } from '../../properties/walk.ts';
import { worldOf } from '../../properties/world.ts';
import { RawMachine } from './raw-machine.ts';

const raw: MakeWorld = (config, kernel) => worldOf(new RawMachine(config, kernel), config, kernel);

const OPTIONS = { seed: 20261121, runs: 120, longest: 200 };

test('random sequences of raw system calls agree with the model after every step, and answer as commands do', () => {
  const digest = new Digest();
  const { failure } = checkSequences({ ...OPTIONS, digest, make: raw }, new Coverage());
  if (failure !== undefined) throw new Error(reportOf(failure, 'nothing, it is not kept').join('\n'));
  const asCommands = new Digest();
  checkSequences({ ...OPTIONS, digest: asCommands }, new Coverage());
  expect(digest.hex).toBe(asCommands.hex);
});
