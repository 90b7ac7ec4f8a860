import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Command } from '../../trace/command.ts';
import { parseTrace, readTraces } from '../../trace/parse.ts';
import { showCall, showCommand, showReach, showResult } from '../../trace/show.ts';
import { showTrace } from '../../trace/show-trace.ts';
import { STEPS } from '../../trace/steps.ts';

const traces = fileURLToPath(new URL('../traces', import.meta.url));
const ALL = 2n ** 64n - 1n;

const shown: readonly (readonly [command: Command, text: string])[] = [
  [{ do: 'iommufd_open', as: 'ctx' }, 'open iommufd ctx'],
  [{ do: 'iommufd_close', ctx: 'ctx' }, 'close iommufd ctx'],
  [{ do: 'vfio_open', dev: 'dev0' }, 'open dev0'],
  [{ do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' }, 'bind dev0 to ctx'],
  [{ do: 'vfio_attach', dev: 'dev0', pt: 'a' }, 'attach dev0 to a'],
  [{ do: 'vfio_detach', dev: 'dev0' }, 'detach dev0'],
  [{ do: 'vfio_close', dev: 'dev0' }, 'close dev0'],
  [{ do: 'vfio_export', dev: 'dev0', region: 2, ranges: [], as: 'b' }, 'export dev0:2 nothing as b'],
  [
    {
      do: 'vfio_export',
      dev: 'dev0',
      region: 2,
      ranges: [
        [0n, 16n],
        [32n, 16n],
      ],
      as: 'b',
      flags: 1n,
    },
    'export dev0:2+0x0 length 0x10, +0x20 length 0x10 as b flags 0x1',
  ],
  [{ do: 'vfio_memory', dev: 'dev0', enable: false }, 'turn memory of dev0 off'],
  [{ do: 'vfio_reset', dev: 'dev0' }, 'reset dev0'],
  [{ do: 'vfio_flr', dev: 'dev0' }, 'FLR dev0'],
  [{ do: 'vfio_hot_reset', dev: 'dev0' }, 'hot reset dev0'],
  [{ do: 'vfio_power', dev: 'dev3', state: 3 }, 'power dev3 to D3'],
  [{ do: 'vfio_low_power_entry', dev: 'dev3' }, 'enter low power of dev3'],
  [{ do: 'vfio_low_power_entry', dev: 'dev3', wakeup: true }, 'enter low power of dev3 with wakeup'],
  [{ do: 'vfio_low_power_exit', dev: 'dev3' }, 'exit low power of dev3'],
  [{ do: 'vfio_wake', dev: 'dev3' }, 'wake dev3'],
  [{ do: 'vfio_dmabuf_revoke', dev: 'dev0', fd: 'b' }, 'revoke b of dev0 for good'],
  [{ do: 'vfio_dmabuf_memattr', dev: 'dev0', fd: 'b', attr: 1 }, 'map b of dev0 write-combining'],
  [{ do: 'vfio_dmabuf_memattr', dev: 'dev0', fd: 'b', attr: 7 }, 'map b of dev0 attribute 7'],
  [{ do: 'ioas_alloc', ctx: 'ctx', as: 'a' }, 'alloc IOAS a in ctx'],
  [{ do: 'hwpt_alloc', dev: 'dev0', ioas: 'a', as: 'h', flags: 2n }, 'alloc HWPT h of a for dev0 flags 0x2'],
  [{ do: 'destroy', obj: 'h' }, 'destroy h'],
  [{ do: 'ioas_iova_ranges', ioas: 'a' }, 'IOVA ranges of a'],
  [{ do: 'ioas_allow_iovas', ioas: 'a', ranges: [] }, 'allow nothing in a'],
  [{ do: 'ioas_allow_iovas', ioas: 'a', ranges: [[0n, 15n]] }, 'allow [0x0, 0xf] in a'],
  [
    { do: 'ioas_map', ioas: 'a', mem: 'm0', offset: 0n, length: 16n, prot: 'r', flags: 8n },
    'map m0+0x0 length 0x10 anywhere in a read-only flags 0x8',
  ],
  [
    { do: 'ioas_map_file', ioas: 'a', fd: 'dmabuf0', start: 0x800n, length: 0x1000n, prot: 'rw', iova: 0x100000n },
    'map dmabuf0+0x800 length 0x1000 at 0x100000 in a',
  ],
  [
    { do: 'ioas_copy', dst: 'a1', src: 'a0', src_iova: 0n, length: 16n, prot: 'w', dst_iova: 32n },
    'copy a0+0x0 length 0x10 at 0x20 in a1 write-only',
  ],
  [{ do: 'ioas_unmap', ioas: 'a', iova: 16n, length: 32n }, 'unmap 0x10 length 0x20 in a'],
  [{ do: 'ioas_unmap', ioas: 'a', iova: 0n, length: ALL }, 'unmap everything in a'],
  [{ do: 'ioas_option_huge_pages', ioas: 'a', enable: true }, 'turn huge pages of a on'],
  [{ do: 'mem_alloc', as: 'm0', length: 16n }, 'alloc memory m0 length 0x10'],
  [{ do: 'memfd_create', as: 'f0', length: 16n }, 'create memfd f0 length 0x10'],
  [{ do: 'fd_dup', fd: 'b', as: 'd' }, 'dup b as d'],
  [{ do: 'fd_close', fd: 'b' }, 'close b'],
  [{ do: 'dma_read', dev: 'dev2', iova: 16n }, 'DMA read 0x10 by dev2'],
  [{ do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 16n, as: 'v' }, 'mmap dev0:2+0x0 length 0x10 as v'],
  [{ do: 'fd_mmap', fd: 'b', offset: 0n, length: 16n, as: 'v' }, 'mmap b+0x0 length 0x10 as v'],
  [{ do: 'peek', map: 'v', offset: 4n }, 'peek v+0x4'],
  [{ do: 'peek', map: 'v', offset: 4n, process: 'p' }, 'peek v+0x4 by p'],
  [{ do: 'munmap', map: 'v' }, 'munmap v'],
  [{ do: 'munmap', map: 'v', offset: 4096n }, 'munmap v+0x1000'],
  [{ do: 'munmap', map: 'v', offset: 0n, length: 4096n, process: 'p' }, 'munmap v+0x0 length 0x1000 by p'],
  [{ do: 'fork', as: 'p' }, 'fork p'],
  [{ do: 'exit', process: 'p' }, 'exit p'],
  [{ do: 'mock_domain', ioas: 'a', as: 'h', dev: 'md0' }, 'attach new mock device md0 to a as h'],
  [{ do: 'mock_domain_destroy', dev: 'md0' }, 'remove mock device md0'],
  [{ do: 'mock_dmabuf', length: 16n, as: 'b' }, 'create test dma-buf b length 0x10'],
  [{ do: 'mock_revoke', fd: 'b', revoked: true }, 'revoke b'],
  [{ do: 'mock_revoke', fd: 'b', revoked: false }, 'restore b'],
];

describe('showCommand says in short what a command does', () => {
  test.each(shown.map(([command, text]) => ({ command, text })))('$text', ({ command, text }) => {
    expect(showCommand(command)).toBe(text);
  });

  test('every command of the format is among these', () => {
    expect([...new Set(shown.map(([command]) => command.do))]).toEqual(Object.keys(STEPS));
  });
});

test.each([
  [{ err: 'EINVAL' }, 'EINVAL'],
  [{ ok: {} }, 'ok'],
  [{ ok: { iova: 16n } }, 'ok at 0x10'],
  [{ ok: { length: 16n } }, 'ok 0x10 bytes'],
  [{ ok: { ranges: [[0n, 15n]], alignment: 1n } }, 'ok [0x0, 0xf] aligned to 0x1'],
  [{ ok: { target: 'dev0:2+0x0' } }, 'ok dev0:2+0x0'],
  [{ ok: { fault: true } }, 'ok fault'],
  [{ ok: { value: 'm0+0x0' } }, 'ok m0+0x0'],
  [{ ok: { signal: 'SIGBUS' } }, 'ok SIGBUS'],
] as const)('showResult says what was answered: %o', (result, text) => {
  expect(showResult(result)).toBe(text);
});

test.each([
  [{ call: ['map', 0n, 'dev0:2+0x0', 16n] }, 'map 0x0 → dev0:2+0x0 length 0x10'],
  [{ call: ['map', 0n, 'm+0x0', 16n], memory: 'mmio', domain: 'h1' }, 'map 0x0 → m+0x0 length 0x10 mmio of h1'],
  [{ call: ['unmap', 0n, 16n], domain: 'h1' }, 'unmap 0x0 length 0x10 of h1'],
] as const)('showCall says what reached the driver: %o', (call, text) => {
  expect(showCall(call)).toBe(text);
});

test('showReach says who may do what when that is not everything', () => {
  expect(showReach([0n, 'm+0x0', 16n, 'rw'])).toBe('0x0 → m+0x0 length 0x10');
  expect(showReach([0n, 'm+0x0', 16n, ''])).toBe('0x0 → m+0x0 length 0x10 no access');
});

test('showTrace lines up answers and shows reach as it changes, once for all devices alike', () => {
  const [file] = readTraces(`${traces}/linux-7.2.13/scenarios/two-devices-one-revoked.json`);
  const lines = file ? showTrace(file.trace) : [];
  expect(`\n${[...lines.slice(0, 5), '…', ...lines.slice(-12)].join('\n')}\n`).toBe(`
two-devices-one-revoked, recorded on Linux 7.2.13
  A revoke touches only its own device.
  machine  pages 0x1000, IOMMU pages 0x1000 0x200000 0x40000000, aperture [0x0, 0xffffffffffff]
           reserved [0xfee00000, 0xfeefffff]
  dev0     BAR 0 0x100, BAR 2 0x400000, group 0, bus 1, resets by bus
…
  17  turn memory of dev0 off                      ok
       iommu  unmap 0x1000000 length 0x2000
       reach  dev0 dev1 dev2  - 0x1000000 → dev0:2+0x0 length 0x2000
  18  DMA read 0x1000000 by dev2                   ok fault
  19  DMA read 0x1002000 by dev2                   ok dev1:2+0x0
  20  reset dev1                                   ok
       iommu  unmap 0x2000000 length 0x10000
              unmap 0x1002000 length 0x2000
       reach  dev0 dev1 dev2  - 0x1002000 → dev1:2+0x0 length 0x2000
                              - 0x2000000 → dev1:2+0x0 length 0x10000
  21  unmap 0x1000000 length 0x4000 in a           ok 0x4000 bytes
  22  unmap everything in a                        ok 0x10000 bytes
`);
});

test('showTrace shows blocked steps, faults, notes, branches and the schedule', () => {
  const machine = {
    page_size: '0x1000',
    iommu: { page_sizes: ['0x1', '0x2', '0x4', '0x8', '0x10'], aperture: ['0x0', '0xffff'] },
    reserved: [],
    devices: { dev0: { bars: { 2: '0x4000' }, group: 0, bus: 0, resets: ['flr'], hot_reset_err: 'ENOTTY' } },
  };
  const reach = { dev0: [['0x0', 'dev0:2+0x0', '0x1000', 'r']] };
  const trace = parseTrace(
    JSON.stringify({
      ...{ format: 'dmabuf-trace', version: 2, name: 't', note: 'seed 7', kernel: '7.2', machine },
      steps: [{ do: 'vfio_open', dev: 'dev0', ok: {}, note: 'as usual', reach }],
      threads: {
        branches: [
          [{ do: 'vfio_reset', dev: 'dev0', blocked: 'waits for memory_lock', reach: { dev0: [] } }],
          [{ do: 'vfio_detach', dev: 'dev0', fault: { site: 'kmalloc', nth: 3 }, reach: { dev0: [] } }],
        ],
        schedule: [{ after: 3, to: 1 }],
      },
    }),
    't.json',
  );
  expect(`\n${showTrace(trace).join('\n')}\n`).toBe(`
t, as on Linux 7.2
  # seed 7
  machine  pages 0x1000, IOMMU pages 0x1 … 0x10, aperture [0x0, 0xffff]
  dev0     BAR 2 0x4000, group 0, bus 0, resets by flr, hot reset gives ENOTTY
   1  open dev0    ok
       # as usual
       reach  dev0  + 0x0 → dev0:2+0x0 length 0x1000 read-only
branch 1
   1  reset dev0   blocked: waits for memory_lock
       reach  dev0  - 0x0 → dev0:2+0x0 length 0x1000 read-only
branch 2
   1  detach dev0
       fault  kmalloc, number 3
       reach  dev0  - 0x0 → dev0:2+0x0 length 0x1000 read-only
schedule: 3>1
`);
});
