import { describe, expect, test } from 'vitest';
import { parseTrace } from '../../trace/parse.ts';
import { kernelOf, type Version } from '../../trace/trace.ts';
import { before, call, device, dup, machine, map, refusal, trace, without } from './trace-rig.ts';

const recorded = { kernel: '7.2.13', lane: 'vtd' };

const parse = (value: unknown, newest?: Version) => parseTrace(JSON.stringify(value), 't.json', newest);

describe('what is wrong outside the steps is refused by its key', () => {
  test.each<[change: object, line: string]>([
    [{ name: '' }, 'name: empty'],
    [{ name: 7 }, 'name: 7 is not a string'],
    [{ steps: undefined }, 'steps: missing'],
    [{ extra: 1 }, 'unknown key "extra"'],
    [{ kernel: 'seven' }, 'kernel: "seven" is neither a kernel version, such as "7.2", nor "v4" or "v4-literal"'],
    [{ kernel: '7.2', recorded }, 'both recorded and kernel, which is for a trace that no kernel recorded'],
    [{ recorded: { ...recorded, lane: 'slow' } }, 'recorded.lane: "slow" is not "vtd" or "mock"'],
    [{ threads: { branches: [[map]], schedule: [] } }, 'threads.branches: fewer than two branches'],
    [{ threads: { branches: [[map], []], schedule: [] } }, 'threads.branches[1]: a branch without steps'],
    [
      { threads: { branches: [[map], [map]], schedule: [{ after: 1, to: -1 }] } },
      'threads.schedule[0].to: -1 is negative',
    ],
    [
      {
        threads: {
          branches: [[map], [map]],
          schedule: [
            { after: 1, to: 1 },
            { after: 1, to: 2 },
          ],
        },
      },
      'threads.schedule[1].to: hands over 2 places round the run queue, and there are 2 branches',
    ],
    [
      { threads: { branches: [[map], [{ ...map, length: '1' }]], schedule: [] } },
      'branch 2, step 1 (ioas_map_file): length: "1" is not a lower-case hex number without leading zeros',
    ],
    [
      { threads: { branches: [[dup], [map, { do: 'fd_close', fd: 'q' }]], schedule: [] } },
      'branch 2, step 2 (fd_close): fd: no earlier step gives "q"',
    ],
    [{ threads: { branches: [[dup], [dup]], schedule: [] } }, 'branch 2, step 1 (fd_dup): as: branch 1 gives "q", too'],
  ])('%j', (change, line) => {
    expect(refusal(() => parse({ ...trace, steps: before, ...change }))).toBe(`t.json: ${line}`);
  });

  test.each<[change: object, line: string]>([
    [{ page_size: '0x3000' }, 'page_size: 0x3000 is not a power of two'],
    [{ page_size: '0x0' }, 'page_size: 0x0 is not a power of two'],
    [{ iommu: { ...machine.iommu, page_sizes: [] } }, 'iommu.page_sizes: no page sizes'],
    [{ iommu: { ...machine.iommu, page_sizes: ['0x3'] } }, 'iommu.page_sizes[0]: 0x3 is not a power of two'],
    [
      { iommu: { ...machine.iommu, page_sizes: ['0x2000', '0x1000'] } },
      'iommu.page_sizes[1]: 0x1000 after 0x2000, not ascending',
    ],
    [
      { iommu: { ...machine.iommu, aperture: ['0x5', '0x1'] } },
      'iommu.aperture: starts at 0x5, after its last byte 0x1',
    ],
    [{ reserved: [['0x5', '0x1']] }, 'reserved[0]: starts at 0x5, after its last byte 0x1'],
    [{ devices: [] }, 'devices: a list is not an object'],
    [{ devices: { d: { ...device, bars: { 7: '0x1' } } } }, 'devices.d.bars.7: "7" is not a BAR number, "0" to "5"'],
    [{ devices: { d: { ...device, bars: { 2: '0x0' } } } }, 'devices.d.bars.2: a BAR without bytes'],
    [{ devices: { d: { ...device, resets: ['x'] } } }, 'devices.d.resets[0]: "x" is not one of "flr", "pm", "bus"'],
    [{ devices: { d: without(device, 'group') } }, 'devices.d.group: missing'],
  ])('machine %j', (change, line) => {
    const odd = { ...trace, machine: { ...machine, ...change }, steps: [] };
    expect(refusal(() => parse(odd))).toBe(`t.json: machine.${line}`);
  });
});

describe('versions', () => {
  const step = (extra: object) => ({ ...trace, version: 1, recorded, steps: [...before, { ...map, ...extra }] });

  const first = (odd: object) => ({ ...trace, version: 1, recorded, steps: [{ ...odd, err: 'EINVAL' }] });
  const peek = { do: 'peek', map: 'v', offset: '0x0' };

  test.each<[value: unknown, newest: Version, line: string]>([
    [{ ...trace, version: 2, steps: [] }, 1, 'version 2 of the format; this reader knows version 1'],
    [{ ...trace, version: 3, steps: [] }, 2, 'version 3 of the format; this reader knows versions 1 and 2'],
    [{ ...trace, version: '1', steps: [] }, 2, 'version "1" of the format; this reader knows versions 1 and 2'],
    [without(trace, 'version'), 2, 'version: missing'],
    [{}, 2, 'not a trace: format is missing'],
    [{ ...trace, format: 'x' }, 2, 'not a trace: format is "x"'],
    [[], 2, 'not a trace but a list'],
    [null, 2, 'not a trace but null'],
    [{ ...trace, version: 1, steps: [] }, 2, 'recorded: missing'],
    [step({}), 2, 'step 4 (ioas_map_file): neither ok nor err'],
    [step({ blocked: 'x' }), 2, 'step 4 (ioas_map_file): unknown key "blocked", which needs version 2'],
    [first({ do: 'fork', as: 'p' }), 2, 'step 1 (fork): do: "fork" is not a step of the format, which needs version 2'],
    [first({ ...peek, process: 'p' }), 2, 'step 1 (peek): unknown key "process", which needs version 2'],
    [first({ do: 'munmap', map: 'v', offset: '0x0' }), 2, 'step 1 (munmap): unknown key "offset"'],
    [{ ...step({ err: 'EINVAL' }), threads: {} }, 2, 'unknown key "threads", which needs version 2'],
  ])('a reader refuses %j when it knows versions up to %i', (value, newest, line) => {
    expect(refusal(() => parse(value, newest))).toBe(`t.json: ${line}`);
  });

  test('a call of version 2 is refused in version 1', () => {
    const line = 'a list is neither ["map", iova, target, length] nor ["unmap", iova, length]';
    const refused = refusal(() => parse(step({ err: 'EINVAL', iommu: [[...call, 'mmio']] })));
    expect(refused).toBe(`t.json: step 4 (ioas_map_file): iommu[0]: ${line}`);
  });

  test('kernelOf gives the recording kernel, or else the one chosen, or else none', () => {
    const steps = before;
    expect(kernelOf(parse({ ...trace, recorded, steps }))).toBe('7.2.13');
    expect(kernelOf(parse({ ...trace, kernel: '7.2', steps }))).toBe('7.2');
    expect(kernelOf(parse({ ...trace, steps }))).toBeUndefined();
  });

  test.each(['v4', 'v4-literal'])('%s is a kernel to behave like, and none that anything was recorded on', (kernel) => {
    expect(kernelOf(parse({ ...trace, kernel, steps: before }))).toBe(kernel);
    const line = `recorded.kernel: "${kernel}" is not a kernel version, such as "7.2" or "7.2.13"`;
    expect(refusal(() => parse({ ...trace, recorded: { kernel }, steps: before }))).toBe(`t.json: ${line}`);
  });
});

test('parse gives exact values for everything version 2 adds', () => {
  const extended = [
    [...call, 'mmio', { domain: 'h1' }],
    [...call, { domain: 'h1' }],
    ['unmap', '0x0', '0x1000', { domain: 'h2' }],
  ];
  const step = { ...map, iova: '0xffffffffffffffff', blocked: 'waits for dma_resv', fault: { site: 's', nth: 3 } };
  const branches = [[map], [dup]];
  const parsed = parse({
    ...trace,
    steps: [...before, { ...step, iommu: extended, reach: { dev0: [] }, note: 'n' }],
    threads: { branches, schedule: [{ after: 3, to: 1 }] },
  });
  const command = { do: 'ioas_map_file', ioas: 'a', fd: 'b', start: 0n, length: 0x1000n, prot: 'rw' };
  expect(parsed.steps[3]).toEqual({
    command: { ...command, iova: 2n ** 64n - 1n },
    blocked: 'waits for dma_resv',
    fault: { site: 's', nth: 3 },
    iommu: [
      { call: ['map', 0n, 'dev0:2+0x0', 0x1000n], memory: 'mmio', domain: 'h1' },
      { call: ['map', 0n, 'dev0:2+0x0', 0x1000n], domain: 'h1' },
      { call: ['unmap', 0n, 0x1000n], domain: 'h2' },
    ],
    reach: new Map([['dev0', []]]),
    note: 'n',
  });
  expect(parsed.threads).toEqual({
    branches: [[{ command }], [{ command: dup }]],
    schedule: [{ after: 3, to: 1 }],
  });
});
