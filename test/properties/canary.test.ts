/** The harness can fail: for an implementation that is wrong on purpose it must, and shrink to the known minimum. */
import { expect, test } from 'vitest';
import { Machine } from '../../impl/machine.ts';
import type { Divergence } from '../../properties/divergence.ts';
import { regressionOf, reportOf } from '../../properties/regression.ts';
import { checkSequences } from '../../properties/sequential.ts';
import type { MakeWorld } from '../../properties/walk.ts';
import { worldOf } from '../../properties/world.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';

/** VFIO_DEVICE_RESET of a device that answers takes the BARs from the CPU alone: no domain loses a mapping. */
class ForgetfulMachine extends Machine {
  override execute(command: Command): Result {
    if (command.do !== 'vfio_reset' || !this.#answers(command.dev)) return super.execute(command);
    this.mm.pageTable.zap(0, Number.MAX_SAFE_INTEGER);
    return { ok: {} };
  }

  #answers(name: string): boolean {
    const device = this.devices.get(name);
    const command = device?.vconfig?.command ?? 0;
    return device !== undefined && device.resets.length > 0 && device.power === 0 && (command & 2) !== 0;
  }
}

/** A reset of one function gives the BARs back before it has taken them from the CPU. */
class LeakyMachine extends Machine {
  override execute(command: Command): Result {
    const { pageTable } = this.mm;
    if (command.do !== 'vfio_reset' && command.do !== 'vfio_flr') return super.execute(command);
    const { zap } = pageTable;
    pageTable.zap = () => {};
    const result = super.execute(command);
    pageTable.zap = zap;
    return result;
  }
}

const forgetful: MakeWorld = (config, kernel) => worldOf(new ForgetfulMachine(config, kernel), config, kernel);
const leaky: MakeWorld = (config, kernel) => worldOf(new LeakyMachine(config, kernel), config, kernel);

/** What random sequences of a machine that is wrong come to, when the failure is shrunk. */
function failureOf(wrong: MakeWorld, seed: number): Divergence {
  const { failure } = checkSequences({ seed, runs: 500, longest: 60, make: wrong });
  if (failure === undefined) throw new Error('the canary sings no more');
  return failure;
}

test.each([1, 2, 3, 4, 5])(
  'a reset that shoots nothing down is found and shrunk to one mapping, with seed %i',
  (seed) => {
    const divergence = failureOf(forgetful, seed);
    const commands = divergence.world?.history.map(({ command }) => command.do) ?? [];
    expect(divergence.breach).toBe('never mapped while revoked');
    expect([...commands].sort()).toEqual(
      [
        'iommufd_open',
        'ioas_alloc',
        'vfio_open',
        'vfio_bind',
        'vfio_attach',
        'vfio_export',
        'ioas_map_file',
        'vfio_reset',
      ].sort(),
    );
    expectReport(divergence);
  },
);

test('a reset after which the CPU still maps a BAR, of a device that answers again, is found and shrunk', () => {
  const divergence = failureOf(leaky, 3);
  expect(divergence.breach).toBe('never mapped while revoked');
  expect(divergence.details).toEqual(['the CPU still maps dev0:2+0x0 after the reset']);
  expect(divergence.world?.history.map(({ command }) => command.do)).toEqual([
    'iommufd_open',
    'vfio_open',
    'vfio_bind',
    'bar_mmap',
    'peek',
    'vfio_reset',
  ]);
});

/** The report shows every step, what is broken, where, and how to see it again. */
function expectReport(divergence: Divergence): void {
  const { file } = regressionOf(divergence);
  expect(file).toMatch(/^never-mapped-while-revoked-[0-9a-f]{8}\.json$/);
  const report = reportOf(divergence, file).join('\n');
  expect(report).toMatch(/BROKEN: never mapped while revoked, after 8 steps, behaving as Linux 7\.2$/m);
  expect(report).toMatch(/reset dev\d +ok/);
  expect(report).toMatch(/domain a\d, IOVA 0x[0-9a-f]+: dev\d:2\+0x0 is mapped/);
  expect(report).toContain(`npx shootdown replay ${file}`);
}
