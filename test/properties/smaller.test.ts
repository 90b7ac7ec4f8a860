/** What planted bugs shrink to: from a program of several threads with much more in it, and from random sequences. */
import { afterEach, expect, test } from 'vitest';
import { Pct } from '../../explore/pct.ts';
import { Recorder } from '../../explore/schedule.ts';
import { IommufdCtx } from '../../impl/iommufd/context.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { Rwsem } from '../../impl/kernel/rwsem.ts';
import { running } from '../../impl/kernel/thread.ts';
import { type Failure, traceOf } from '../../properties/concurrent/failure.ts';
import { judge } from '../../properties/concurrent/judge.ts';
import { begin, type Program } from '../../properties/concurrent/program.ts';
import { shrinkFailure } from '../../properties/concurrent/shrink.ts';
import { MACHINES } from '../../properties/machines.ts';
import { replay } from '../../properties/recorded.ts';
import { regressionOf } from '../../properties/regression.ts';
import { checkSequences } from '../../properties/sequential.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { parseTrace } from '../../trace/parse.ts';
import { showCommand } from '../../trace/show.ts';
import { writeTrace } from '../../trace/write.ts';
import { type Planted, replace } from './plant.ts';
import { PLANTED } from './planted.ts';

let takeOut = (): void => {};
afterEach(() => takeOut());

const PREFIX: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx0' },
  { do: 'ioas_alloc', ctx: 'ctx0', as: 'a0' },
  { do: 'ioas_alloc', ctx: 'ctx0', as: 'a1' },
  { do: 'vfio_open', dev: 'dev0' },
  { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx0' },
  { do: 'vfio_open', dev: 'dev3' },
  { do: 'vfio_bind', dev: 'dev3', ctx: 'ctx0' },
  { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0x8000n, 0x8000n]], as: 'b0' },
  { do: 'vfio_export', dev: 'dev3', region: 4, ranges: [[0n, 0x4000n]], as: 'b1' },
  { do: 'ioas_map_file', ioas: 'a1', fd: 'b1', start: 0n, length: 0x2000n, prot: 'r', iova: 0x203_4000n },
  { do: 'ioas_map_file', ioas: 'a1', fd: 'b0', start: 0x1000n, length: 0x3000n, prot: 'r', iova: 0x103_4000n },
  { do: 'mem_alloc', as: 'm0', length: 0x8000n },
  { do: 'ioas_map', ioas: 'a1', mem: 'm0', offset: 0n, length: 0x2000n, prot: 'w', iova: 0x105_0000n },
  { do: 'hwpt_alloc', dev: 'dev0', ioas: 'a1', as: 'h0', flags: 2n },
  { do: 'vfio_attach', dev: 'dev0', pt: 'h0' },
  { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x4000n, as: 'v0' },
  { do: 'peek', map: 'v0', offset: 0x1000n },
];
const UNMAP: Command = { do: 'ioas_unmap', ioas: 'a1', iova: 0x103_4000n, length: 0x3000n };
const MAP: Command = {
  do: 'ioas_map_file',
  ioas: 'a1',
  fd: 'b0',
  start: 0n,
  length: 0x2000n,
  prot: 'rw',
  iova: 0x100_0000n,
};
const FORK: Command = { do: 'fork', as: 'p0.2.3' };
const memory = (enable: boolean): Command => ({ do: 'vfio_memory', dev: 'dev0', enable });

interface Known {
  readonly bug: string;
  readonly plant: () => () => void;
  readonly breach: string;
  readonly branches: Program['branches'];
  readonly smallest: {
    readonly prefix: string[];
    readonly branches: string[][];
    readonly schedule: Failure['schedule'];
  };
}

const memoryLock = (): (() => void) =>
  replace(
    Rwsem.prototype,
    'admits',
    (right) =>
      function (this: Rwsem, side) {
        return this.name.endsWith('.memory_lock') || right.call(this, side);
      },
  );
const ON_AND_OFF = [
  [memory(true)],
  [{ do: 'mem_alloc', as: 'm1.2.1', length: 0x3000n }, memory(false), FORK],
  [UNMAP],
] as const;

const planted = (bug: string): Planted['plant'] => (PLANTED.find((planted) => planted.bug === bug) as Planted).plant;

const KNOWN: readonly Known[] = [
  {
    bug: 'a reservation excludes nobody',
    plant: () =>
      replace(
        Mutex.prototype,
        'ready',
        (right) =>
          function (this: Mutex) {
            return this.name.endsWith('.resv') || right.call(this);
          },
      ),
    breach: 'use after free',
    branches: [[{ do: 'dma_read', dev: 'dev0', iova: 0x103_4000n }, FORK], [memory(false), memory(true)], [UNMAP]],
    smallest: {
      prefix: [
        'open iommufd ctx0',
        'alloc IOAS a1 in ctx0',
        'open dev0',
        'bind dev0 to ctx0',
        'export dev0:2+0x0 length 0x1000 as b0',
        'map b0+0x0 length 0x1000 at 0x1000000 in a1',
      ],
      branches: [['turn memory of dev0 off'], ['unmap 0x1000000 length 0x1000 in a1']],
      schedule: [{ after: 3, to: 1 }],
    },
  },
  {
    // What is mapped of the buffer makes more steps of a revoke: without it, the same place is reached in fewer.
    bug: 'memory_lock excludes nobody',
    plant: memoryLock,
    breach: 'never mapped while revoked',
    branches: ON_AND_OFF,
    smallest: {
      prefix: [
        'open iommufd ctx0',
        'open dev0',
        'bind dev0 to ctx0',
        'mmap dev0:2+0x0 length 0x1000 as v0',
        'peek v0+0x0',
      ],
      branches: [['turn memory of dev0 off'], ['turn memory of dev0 on']],
      schedule: [{ after: 2, to: 1 }],
    },
  },
  {
    bug: 'memory_lock excludes nobody',
    plant: memoryLock,
    breach: 'rule',
    branches: ON_AND_OFF,
    smallest: {
      prefix: ['open iommufd ctx0', 'open dev0', 'bind dev0 to ctx0', 'mmap dev0:2+0x0 length 0x1000 as v0'],
      branches: [['turn memory of dev0 off'], ['turn memory of dev0 on']],
      schedule: [{ after: 2, to: 1 }],
    },
  },
  {
    // A map of no bytes would show it, too, but be refused in another way.
    bug: 'what a branch has looked up keeps a user',
    plant: () =>
      replace(
        IommufdCtx.prototype,
        'put',
        (right) =>
          function (this: IommufdCtx, object) {
            if (!running()?.name.startsWith('branch')) right.call(this, object);
          },
      ),
    breach: 'audit',
    branches: [[FORK, FORK], [MAP], [FORK]],
    smallest: {
      prefix: ['open iommufd ctx0', 'alloc IOAS a1 in ctx0', 'export dev0:2+0x0 length 0x0 as b0'],
      branches: [['map b0+0x0 length 0x1000 at 0x1000000 in a1'], ['fork p0']],
      schedule: [],
    },
  },
];

/** The first way in which it fails so. */
function failing(branches: Program['branches'], breach: string): Failure {
  const program = { config: MACHINES.get('two devices') as MachineConfig, kernel: 'v4', prefix: PREFIX, branches };
  const strategy = new Pct({ seed: 2, depth: 3 });
  for (let tries = 0; tries < 200 && strategy.begin(); tries++) {
    const recorder = new Recorder(strategy.choose);
    const { broken } = judge(begin(program), branches, recorder.choose);
    if (broken?.breach === breach) return { ...broken, program, schedule: recorder.schedule };
  }
  throw new Error('it does not fail');
}

test.each(KNOWN)(
  '$bug, $breach: of all that was done, what shows it is left, on a machine with one device',
  (known) => {
    takeOut = known.plant();
    const small = shrinkFailure(failing(known.branches, known.breach));
    const { prefix, branches, config } = small.program;
    expect({
      prefix: prefix.map(showCommand),
      branches: branches.map((branch) => branch.map(showCommand)),
      schedule: small.schedule,
    }).toEqual(known.smallest);
    expect([small.breach, [...config.devices.keys()]]).toEqual([known.breach, ['dev0']]);
    // Nothing can be made of it any more, and what is kept of it fails.
    expect(shrinkFailure(small)).toEqual(small);
    const kept = parseTrace(writeTrace(traceOf(small, 'small')), 'small');
    expect(replay(kept)).toMatchObject({ verdict: 'disagree', step: 'threads' });
  },
);

const MAPPED = [
  'open iommufd ctx0',
  'alloc IOAS a0 in ctx0',
  'open dev0',
  'bind dev0 to ctx0',
  'export dev0:2+0x0 length 0x400000 as b0',
  'map b0+0x0 length 0x1000 at 0x1000000 in a0',
];

/** Of these, fast-check alone leaves a command too many: the simplest intents do first what one may need. */
test.each([
  ['an importer that leaves stays on the list', [...MAPPED, 'close iommufd ctx0', 'close dev0']],
  [
    'the last but one reference to pages is kept',
    [...MAPPED, 'copy a0+0x1000000 length 0x1000 at 0x1001000 in a0', 'close iommufd ctx0', 'close dev0'],
  ],
  [
    'the first page of a mapping is pinned twice',
    [
      ...MAPPED.slice(0, 4),
      'attach dev0 to a0',
      'alloc memory m0 length 0x1000',
      'map m0+0x0 length 0x1000 at 0x1000000 in a0',
    ],
  ],
  [
    'a domain that is freed stays in the list',
    [...MAPPED.slice(0, 4), 'attach dev0 to a0', 'close iommufd ctx0', 'close dev0'],
  ],
  // With fewer commands an audit finds it, and nothing splats.
  [
    'an area stays tracked for a domain that it has left',
    [...MAPPED, 'attach dev0 to a0', 'close iommufd ctx0', 'close dev0'],
  ],
  [
    'a call that takes no lock keeps a user of its object',
    [MAPPED[0], MAPPED[1], MAPPED[4], 'map b0+0x0 length 0x1000 anywhere in a0'],
  ],
])('%s: random sequences shrink to what shows it', (bug, smallest) => {
  takeOut = planted(bug)();
  const { failure } = checkSequences({ seed: 1, runs: 300, longest: 60 });
  if (failure === undefined) throw new Error('not found');
  const { world, breach, details } = failure;
  expect(world?.history.map(({ command }) => showCommand(command))).toEqual(smallest);
  expect(replay(regressionOf(failure).trace)).toMatchObject({ verdict: 'disagree', details: [breach, ...details] });
});

test('a sequence that failed where nothing was poisoned shrinks so, too: else it fails in another way', () => {
  takeOut = planted('a mapping that goes stays in the tree of its file')();
  const { failure } = checkSequences({ seed: 1, runs: 300, longest: 60 });
  expect(failure?.breach).toBe('audit');
  expect(failure?.world?.history.map(({ command }) => showCommand(command))).toEqual([
    MAPPED[0],
    MAPPED[2],
    MAPPED[3],
    'mmap dev0:2+0x0 length 0x1000 as v0',
    'munmap v0',
    'close dev0',
  ]);
});
