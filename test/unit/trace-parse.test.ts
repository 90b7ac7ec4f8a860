import { describe, expect, test } from 'vitest';
import { parseTrace } from '../../trace/parse.ts';
import { before, call, dup, map, refusal, trace, without } from './trace-rig.ts';

const read = { do: 'dma_read', dev: 'dev0', iova: '0x0' };

const parse = (value: unknown) => parseTrace(JSON.stringify(value), 't.json');
const thirdStep = (step: unknown) => parse({ ...trace, steps: [...before, step] });

describe('a malformed step is refused by one line that names file, step, command and key', () => {
  test.each<[step: unknown, line: string]>([
    [{ ...map, iova: '0x0FF' }, '(ioas_map_file): iova: "0x0FF" is not a lower-case hex number without leading zeros'],
    [{ ...map, iova: '0x00' }, '(ioas_map_file): iova: "0x00" is not a lower-case hex number without leading zeros'],
    [{ ...map, iova: '4096' }, '(ioas_map_file): iova: "4096" is not a lower-case hex number without leading zeros'],
    [{ ...map, length: 5 }, '(ioas_map_file): length: 5 is not a lower-case hex number without leading zeros'],
    [{ ...map, length: '0x10000000000000000' }, '(ioas_map_file): length: "0x10000000000000000" has more than 64 bits'],
    [without(map, 'length'), '(ioas_map_file): length: missing'],
    [{ ...map, foo: 1 }, '(ioas_map_file): unknown key "foo"'],
    [{ ...map, prot: 'x' }, '(ioas_map_file): prot: "x" is not one of "rw", "r", "w", ""'],
    [{ ...map, note: 7 }, '(ioas_map_file): note: 7 is not a string'],
    [{ ...map, fault: { site: 's', nth: 0 } }, '(ioas_map_file): fault.nth: 0 is not counted from 1'],
    [{ do: 'vfio_power', dev: 'dev0', state: 2 }, '(vfio_power): state: 2 is not 0 or 3'],
    [{ do: 'vfio_memory', dev: 'dev0', enable: 'yes' }, '(vfio_memory): enable: "yes" is not true or false'],
    [{ ...before[2], region: -1 }, '(vfio_export): region: -1 is negative'],
    [{ ...before[2], region: 1.5 }, '(vfio_export): region: 1.5 is not a whole number'],
    [{ ...before[2], ranges: [['0x0']] }, '(vfio_export): ranges[0]: a list is not [offset, length]'],
    [
      { do: 'fd_close', fd: 'a b' },
      '(fd_close): fd: "a b" is not a name: a letter, then letters, digits, "_", "." or "-"',
    ],
  ])('%j', (step, line) => {
    expect(refusal(() => thirdStep(step))).toBe(`t.json: step 4 ${line}`);
  });

  test.each<[step: unknown, line: string]>([
    [{ do: 'zap' }, 'do: "zap" is not a step of the format'],
    [{ do: 'constructor' }, 'do: "constructor" is not a step of the format'],
    [{}, 'do: missing'],
    [null, 'null is not an object'],
    [[1], 'a list is not an object'],
  ])('%j, which is not even a command', (step, line) => {
    expect(refusal(() => thirdStep(step))).toBe(`t.json: step 4: ${line}`);
  });
});

describe('an outcome that the step cannot have is refused', () => {
  test.each<[step: unknown, line: string]>([
    [{ ...map, ok: {} }, 'ioas_map_file): ok.iova: missing'],
    [{ ...map, ok: { iova: '0x0', length: '0x1' } }, 'ioas_map_file): ok: unknown key "length"'],
    [{ ...map, ok: { iova: '0x0' }, err: 'EINVAL' }, 'ioas_map_file): both ok and err'],
    [{ ...map, err: 'EINVAL', blocked: 'why' }, 'ioas_map_file): both err and blocked'],
    [{ ...map, err: 'EFOO' }, 'ioas_map_file): err: "EFOO" is not an errno that steps answer with'],
    [{ ...map, blocked: '' }, 'ioas_map_file): blocked: empty'],
    [{ do: 'fd_close', fd: 'b', ok: { iova: '0x0' } }, 'fd_close): ok: unknown key "iova"'],
    [{ ...read, ok: {} }, 'dma_read): ok: needs either target or fault'],
    [{ ...read, ok: { target: '?', fault: true } }, 'dma_read): ok: needs either target or fault'],
    [{ ...read, ok: { fault: false } }, 'dma_read): ok.fault: false is not true'],
    [
      { ...read, ok: { target: 'dev0' } },
      'dma_read): ok.target: "dev0" is not a target: "dev0:2+0x1000", "m0+0x1000" or "?"',
    ],
    [{ do: 'ioas_iova_ranges', ioas: 'a', ok: { ranges: [] } }, 'ioas_iova_ranges): ok.alignment: missing'],
  ])('%j', (step, line) => {
    expect(refusal(() => thirdStep(step))).toBe(`t.json: step 4 (${line}`);
  });
});

describe('calls to the IOMMU and reach are refused when malformed', () => {
  const neither = 'a list is neither ["map", iova, target, length] nor ["unmap", iova, length]';
  test.each<[marks: object, line: string]>([
    [{ iommu: {} }, 'iommu: an object is not a list'],
    [{ iommu: [['zap']] }, `iommu[0]: ${neither}`],
    [{ iommu: [call, call.slice(0, 3)] }, `iommu[1]: ${neither}`],
    [
      { iommu: [['map', '0x00', ...call.slice(2)]] },
      'iommu[0][1]: "0x00" is not a lower-case hex number without leading zeros',
    ],
    [{ iommu: [[...call, 7]] }, 'iommu[0][4]: 7 is not "mmio" or "cache"'],
    [{ iommu: [['map', '0x0', 'dev0:3+0x0', '0x1']] }, 'iommu[0]: dev0 has no BAR 3'],
    [{ iommu: [['map', '0x0', 'dev7:3+0x0', '0x1']] }, 'iommu[0]: the machine has no device "dev7"'],
    [{ iommu: [['map', '0x0', 'm0+0x0', '0x1']] }, 'iommu[0]: no earlier step gives "m0"'],
    [{ reach: { dev9: [] } }, 'reach.dev9: the machine has no device "dev9"'],
    [
      { reach: { 'a\nb': [] } },
      'reach["a\\nb"]: "a\\nb" is not a name: a letter, then letters, digits, "_", "." or "-"',
    ],
    [{ reach: { dev0: [['0x0', '?', '0x10']] } }, 'reach.dev0[0]: a list is not [iova, target, length, prot]'],
    [{ reach: { dev0: [['0x0', '?', '0x0', 'rw']] } }, 'reach.dev0[0]: reaches no bytes'],
    [
      {
        reach: {
          dev0: [
            ['0x1000', '?', '0x1000', 'r'],
            ['0x1fff', '?', '0x1', 'r'],
          ],
        },
      },
      'reach.dev0[1]: starts at 0x1fff, before the entry above it ends',
    ],
    [
      { reach: { dev0: [['0xffffffffffffffff', '?', '0x2', 'r']] } },
      'reach.dev0[0]: runs past the end of the address space',
    ],
  ])('%j', (marks, line) => {
    expect(refusal(() => thirdStep({ ...map, ...marks }))).toBe(`t.json: step 4 (ioas_map_file): ${line}`);
  });
});

const view = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: '0x0', length: '0x2000', as: 'v', ok: {} };
const child = { do: 'fork', as: 'p', ok: {} };

describe('a name that nothing gave, or that two things would have, is refused', () => {
  test.each<[step: unknown, line: string]>([
    [{ ...map, ioas: 'zz' }, 'ioas_map_file): ioas: no earlier step gives "zz"'],
    [{ ...read, dev: 'dev9' }, 'dma_read): dev: the machine has no device "dev9"'],
    [{ ...read, dev: 'a' }, 'dma_read): dev: the machine has no device "a"'],
    [{ ...before[1] }, 'ioas_alloc): as: "a" still names what step 2 gave'],
    [{ ...before[1], as: 'dev0' }, 'ioas_alloc): as: "dev0" is a device of the machine'],
    [{ do: 'exit', process: 'p', ok: {} }, 'exit): process: no earlier step gives "p"'],
    [
      { do: 'mock_domain', ioas: 'a', as: 'h', dev: 'dev0', ok: {} },
      'mock_domain): dev: "dev0" is a device of the machine',
    ],
  ])('%j', (step, line) => {
    expect(refusal(() => thirdStep(step))).toBe(`t.json: step 4 (${line}`);
  });

  test('what a child unmaps keeps its name', () => {
    const steps = [...before, view, child, { do: 'munmap', map: 'v', process: 'p', ok: {} }, view];
    const line = 't.json: step 7 (bar_mmap): as: "v" still names what step 4 gave';
    expect(refusal(() => parse({ ...trace, steps }))).toBe(line);
  });

  test.each<[title: string, steps: object[]]>([
    [
      'a name of a step that failed is used',
      [
        { ...dup, err: 'EBADF' },
        { do: 'fd_close', fd: 'q', err: 'EBADF' },
      ],
    ],
    [
      'a name is given again after its step failed',
      [
        { ...dup, err: 'EBADF' },
        { ...dup, ok: {} },
      ],
    ],
    [
      'a failing step names what is live',
      [
        { ...dup, ok: {} },
        { ...dup, err: 'EBADF' },
      ],
    ],
    [
      'a descriptor was closed',
      [
        { ...dup, ok: {} },
        { do: 'fd_close', fd: 'q', ok: {} },
        { ...dup, ok: {} },
      ],
    ],
    ['the iommufd of an IOAS was closed', [{ do: 'iommufd_close', ctx: 'ctx', ok: {} }, ...before.slice(0, 2)]],
    [
      'a mock device was removed, and its HWPT with it',
      [
        { do: 'mock_domain', ioas: 'a', as: 'h', dev: 'md', ok: {} },
        { do: 'mock_domain_destroy', dev: 'md', ok: {} },
        { do: 'mock_domain', ioas: 'a', as: 'h', dev: 'md', ok: {}, reach: { md: [] } },
      ],
    ],
    [
      'a mapping went in parts, and its name stands for another one',
      [
        view,
        { do: 'munmap', map: 'v', offset: '0x0', length: '0x1000', ok: {} },
        { do: 'munmap', map: 'v', ok: {} },
        view,
      ],
    ],
    ['a child ended', [child, { do: 'exit', process: 'p', ok: {} }, child]],
  ])('a trace parses when %s', (_, steps) => {
    expect(parse({ ...trace, steps: [...before, ...steps] }).steps).toHaveLength(3 + steps.length);
  });
});
