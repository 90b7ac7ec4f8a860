/** The machine of a trace, as a schema. */
import * as z from 'zod';
import type { Interval } from './command.ts';
import type { DeviceConfig, MachineConfig } from './machine-config.ts';
import { count, errno, handle, hex, interval, is, list, mapOf, object } from './values.ts';

const bar = z.string().regex(/^[0-5]$/, is('is not a BAR number, "0" to "5"'));
const reset = z.enum(['flr', 'pm', 'bus'], is('is not one of "flr", "pm", "bus"'));

const device = z.codec(
  object({
    bars: mapOf(bar, hex),
    group: count,
    bus: count,
    resets: list(reset),
    hot_reset_err: errno.exactOptional(),
  }).meta({
    id: 'device',
    description: 'Its memory BARs and their sizes; who shares its group and bus; how it resets.',
  }),
  z.custom<DeviceConfig>(),
  {
    decode: ({ bars, hot_reset_err: hotResetErr, ...rest }) => ({
      bars: new Map([...bars].map(([number, size]) => [Number(number), size])),
      ...rest,
      ...(hotResetErr && { hotResetErr }),
    }),
    encode: ({ bars, group, bus, resets, hotResetErr }) => ({
      bars: new Map([...bars].map(([number, size]) => [String(number), size])),
      group,
      bus,
      resets: [...resets],
      ...(hotResetErr && { hot_reset_err: hotResetErr }),
    }),
  },
);

const pair = ([first, last]: Interval): [bigint, bigint] => [first, last];

export const machine: z.ZodType<MachineConfig> = z.codec(
  object({
    page_size: hex,
    iommu: object({ page_sizes: list(hex), aperture: interval }),
    reserved: list(interval),
    devices: mapOf(handle, device),
  }).meta({ id: 'machine', description: 'What the trace runs on: page sizes, the IOMMU, every device that matters.' }),
  z.custom<MachineConfig>(),
  {
    decode: ({ page_size: pageSize, iommu, reserved, devices }) => ({
      pageSize,
      pageSizes: iommu.page_sizes,
      aperture: iommu.aperture,
      reserved,
      devices,
    }),
    encode: ({ pageSize, pageSizes, aperture, reserved, devices }) => ({
      page_size: pageSize,
      iommu: { page_sizes: [...pageSizes], aperture: pair(aperture) },
      reserved: reserved.map(pair),
      devices,
    }),
  },
);
