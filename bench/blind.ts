/** Commands with arguments drawn by fast-check, in the shares of the property's mix, without a look at any state. */
import * as fc from 'fast-check';
import { MIX } from '../properties/intents.ts';
import { namesOf, type Pool } from '../properties/view.ts';
import type { Command } from '../trace/command.ts';
import { config } from './mix.ts';

const PAGE = 0x1000n;
const WINDOW = 0x100_0000n;

const named = (pool: Pool): fc.Arbitrary<string> => fc.constantFrom(...namesOf(pool));
const [ctx, ioas, hwpt, fd, mem] = [named('context'), named('ioas'), named('hwpt'), named('fd'), named('memory')];
const dev = fc.constantFrom(...config.devices.keys());
const pages = (least: number, most: number): fc.Arbitrary<bigint> =>
  fc.integer({ min: least, max: most }).map((count) => BigInt(count) * PAGE);
const window = pages(0, 63).map((offset) => WINDOW + offset);
const prot = fc.constantFrom('rw', 'r', 'w');
const size = { length: pages(1, 4), prot };
const is = <Name extends Command['do']>(name: Name): fc.Arbitrary<Name> => fc.constant(name);

/** How each command of the mix is drawn. */
const drawn: Partial<Record<Command['do'], fc.Arbitrary<Command>>> = {
  ioas_map_file: fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ do: is('ioas_map_file'), ioas, fd, start: pages(0, 15), iova: window, ...size }),
    },
    { weight: 1, arbitrary: fc.record({ do: is('ioas_map_file'), ioas, fd, start: pages(0, 15), ...size }) },
  ),
  ioas_copy: fc.record({ do: is('ioas_copy'), dst: ioas, src: ioas, src_iova: window, dst_iova: window, ...size }),
  ioas_unmap: fc.record({ do: is('ioas_unmap'), ioas, iova: window, length: pages(1, 4) }),
  ioas_map: fc.record({ do: is('ioas_map'), ioas, mem, offset: pages(0, 12), iova: window, ...size }),
  dma_read: fc.record({ do: is('dma_read'), dev, iova: window }),
  vfio_export: dev.chain((name) => {
    const [region] = [...(config.devices.get(name)?.bars.keys() ?? [])].slice(-1);
    const ranges = fc.tuple(pages(0, 0), pages(1, 4)).map((slice) => [slice]);
    return fc.record({
      do: is('vfio_export'),
      dev: fc.constant(name),
      region: fc.constant(region ?? 0),
      ranges,
      as: fd,
    });
  }),
  vfio_memory: fc.record({ do: is('vfio_memory'), dev, enable: fc.boolean() }),
  vfio_attach: fc.record({ do: is('vfio_attach'), dev, pt: fc.oneof(ioas, hwpt) }),
  ioas_iova_ranges: fc.record({ do: is('ioas_iova_ranges'), ioas }),
  hwpt_alloc: fc.record({ do: is('hwpt_alloc'), dev, ioas, as: hwpt }),
  fd_close: fc.record({ do: is('fd_close'), fd }),
  destroy: fc.record({ do: is('destroy'), obj: fc.oneof(ioas, hwpt) }),
  vfio_reset: fc.record({ do: is('vfio_reset'), dev }),
  vfio_flr: fc.record({ do: is('vfio_flr'), dev }),
  vfio_hot_reset: fc.record({ do: is('vfio_hot_reset'), dev }),
  vfio_power: fc.record({ do: is('vfio_power'), dev, state: fc.constantFrom(0, 3) }),
  vfio_detach: fc.record({ do: is('vfio_detach'), dev }),
  fd_dup: fc.record({ do: is('fd_dup'), fd, as: fd }),
  ioas_alloc: fc.record({ do: is('ioas_alloc'), ctx, as: ioas }),
  mem_alloc: fc.record({ do: is('mem_alloc'), as: mem, length: fc.constant(0x10000n) }),
  memfd_create: fc.record({ do: is('memfd_create'), as: named('memfd'), length: fc.constant(0x8000n) }),
  vfio_open: fc.record({ do: is('vfio_open'), dev }),
  vfio_bind: fc.record({ do: is('vfio_bind'), dev, ctx }),
  vfio_close: fc.record({ do: is('vfio_close'), dev }),
  iommufd_open: fc.record({ do: is('iommufd_open'), as: ctx }),
  iommufd_close: fc.record({ do: is('iommufd_close'), ctx }),
};

const weighted = MIX.flatMap(([name, weight]) => {
  const arbitrary = drawn[name];
  return arbitrary === undefined ? [] : [{ arbitrary, weight }];
});

/** One command. */
export const blindCommand: fc.Arbitrary<Command> = fc.oneof(...weighted);

/** What must have happened before a blind command has a chance. */
export const PRELUDE: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx0' },
  { do: 'ioas_alloc', ctx: 'ctx0', as: 'a0' },
  { do: 'ioas_alloc', ctx: 'ctx0', as: 'a1' },
  ...[...config.devices].flatMap(([name, { bars }], i): Command[] => {
    const [[region, length] = [0, 0n]] = [...bars].slice(-1);
    return [
      { do: 'vfio_open', dev: name },
      { do: 'vfio_bind', dev: name, ctx: 'ctx0' },
      { do: 'vfio_attach', dev: name, pt: `a${i}` },
      { do: 'vfio_export', dev: name, region, ranges: [[0n, length]], as: `b${i}` },
    ];
  }),
  { do: 'mem_alloc', as: 'm0', length: 0x10000n },
];
