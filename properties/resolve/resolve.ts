/**
 * From an intent to a command that means something in this state. What cannot be done as yet becomes what must be done
 * before: with nothing open, "map" opens an iommufd. A deliberately wrong intent is resolved first, and then twisted.
 */
import type { Device, Domain, Ioas, Space, State } from '../../model/spec.ts';
import type { Command } from '../../trace/command.ts';
import { type Intent, WEIGHTED, WRONG_BELOW } from '../intents.ts';
import { twist } from '../twist.ts';
import {
  boundDevices,
  freeName,
  isBound,
  largestBar,
  machineDevices,
  manualDomains,
  openContexts,
  pagesIn,
  pick,
  pickOf,
  sources,
  testDevices,
  usableIoases,
} from '../view.ts';
import { copyOf, iovaOf, mapFileOf, mapOf, unmapOf } from './areas.ts';
import { barMmapOf, exitOf, fdMmapOf, forkOf, munmapOf, peekOf } from './cpu.ts';
import {
  COUNTERPARTS,
  type Counterparts,
  mockDestroyOf,
  mockDmabufOf,
  mockDomainOf,
  mockRevokeOf,
  ofLane,
} from './mock.ts';
import { allowOf, hugePagesOf } from './options.ts';
import { leaveLowPowerOf, lowPowerOf, memattrOf, revokeOf, wakeOf } from './power.ts';

const PAGE = 0x1000;

/** The command of an intent. Always legal; nearly always meaningful. */
export function resolve(intent: Intent, state: State): Command {
  const command = plain(intent, state);
  return intent.odd < WRONG_BELOW ? twist(command, intent, state) : command;
}

const plain: Resolver = (intent, state) => (ofLane(state, LANES)[intent.what] as Resolver)(intent, state);

type Resolver = (intent: Intent, state: State) => Command;

const RESOLVERS: Readonly<Record<Command['do'], Resolver>> = {
  ioas_map_file: (intent, state) => mapFileOf(intent, state) ?? prerequisite(intent, state),
  ioas_unmap: (intent, state) => unmapOf(intent, state) ?? prerequisite(intent, state),
  ioas_copy: (intent, state) => copyOf(intent, state) ?? prerequisite(intent, state),
  ioas_map: (intent, state) => mapOf(intent, state) ?? prerequisite(intent, state),
  ioas_iova_ranges: (intent, state) =>
    withIoas(intent, state, ({ space }) => ({ do: 'ioas_iova_ranges', ioas: space.name })),
  dma_read: (intent, state) =>
    withDevice(intent, state, ({ name }) => ({ do: 'dma_read', dev: name, iova: iovaOf(intent, state) })),
  vfio_export: (intent, state) => withDevice(intent, state, (device) => exportOf(device, intent, state)),
  vfio_memory: (intent, state) => withDevice(intent, state, (device) => memoryOf(device, intent)),
  vfio_attach: attachOf,
  vfio_detach: (intent, state) => withDevice(intent, state, ({ name }) => ({ do: 'vfio_detach', dev: name })),
  vfio_reset: (intent, state) => withDevice(intent, state, ({ name }) => ({ do: 'vfio_reset', dev: name })),
  vfio_flr: (intent, state) => withDevice(intent, state, ({ name }) => ({ do: 'vfio_flr', dev: name }), 'flr'),
  vfio_hot_reset: (intent, state) => withDevice(intent, state, ({ name }) => ({ do: 'vfio_hot_reset', dev: name })),
  vfio_power: (intent, state) => withDevice(intent, state, powerOf),
  vfio_open: (intent, state) => ({ do: 'vfio_open', dev: closedDevice(intent, state) }),
  vfio_bind: bindOf,
  vfio_close: (intent, state) => ({ do: 'vfio_close', dev: openDevice(intent, state) }),
  hwpt_alloc: hwptOf,
  destroy: (intent, state) => withIoas(intent, state, () => ({ do: 'destroy', obj: objectOf(intent, state) })),
  ioas_alloc: ioasOf,
  iommufd_open: openOf,
  iommufd_close: (intent, state) => closeOf(intent, state),
  fd_close: (intent, state) => ({ do: 'fd_close', fd: fdOf(intent, state) }),
  fd_dup: (intent, state) => dupOf(intent, state),
  mem_alloc: (intent, state) => memoryAllocOf(intent, state),
  memfd_create: (intent, state) => memfdOf(intent, state),
  bar_mmap: (intent, state) => barMmapOf(intent, state) ?? peekOf(intent, state) ?? prerequisite(intent, state),
  peek: (intent, state) => peekOf(intent, state) ?? barMmapOf(intent, state) ?? prerequisite(intent, state),
  munmap: (intent, state) => munmapOf(intent, state) ?? barMmapOf(intent, state) ?? prerequisite(intent, state),
  fd_mmap: (intent, state) => fdMmapOf(intent, state) ?? prerequisite(intent, state),
  ioas_allow_iovas: (intent, state) => withIoas(intent, state, (ioas) => allowOf(ioas, intent)),
  ioas_option_huge_pages: (intent, state) => withIoas(intent, state, (ioas) => hugePagesOf(ioas, intent)),
  mock_domain: (intent, state) => mockDomainOf(intent, state) ?? prerequisite(intent, state),
  mock_domain_destroy: (intent, state) => mockDestroyOf(intent, state) ?? RESOLVERS.mock_domain(intent, state),
  mock_dmabuf: (intent, state) => mockDmabufOf(intent, state) ?? RESOLVERS.mock_revoke(intent, state),
  mock_revoke: (intent, state) => mockRevokeOf(intent, state) ?? prerequisite(intent, state),
  vfio_low_power_entry: (intent, state) => lowPowerOf(intent, state) ?? prerequisite(intent, state),
  vfio_low_power_exit: (intent, state) => leaveLowPowerOf(intent, state) ?? prerequisite(intent, state),
  vfio_wake: (intent, state) => wakeOf(intent, state) ?? prerequisite(intent, state),
  vfio_dmabuf_revoke: (intent, state) => revokeOf(intent, state) ?? prerequisite(intent, state),
  vfio_dmabuf_memattr: (intent, state) => memattrOf(intent, state) ?? prerequisite(intent, state),
  fork: forkOf,
  exit: exitOf,
};

/** Who resolves an intent, by its number of what is meant. */
const laneWith = (counterparts: Counterparts): readonly Resolver[] =>
  WEIGHTED.map((what) => RESOLVERS[counterparts[what] ?? what]);

const LANES = {
  tests: laneWith(COUNTERPARTS.tests),
  devices: laneWith(COUNTERPARTS.devices),
  both: laneWith(COUNTERPARTS.both),
};

/** The next step towards a machine on which something can be mapped and reached. */
function prerequisite(intent: Intent, state: State): Command {
  if (state.contexts.length === 0) return openOf(intent, state);
  if (usableIoases(state).length === 0) return ioasOf(intent, state);
  const bound = boundDevices(state);
  const exported = sources(state, 'dmabuf').length > 0;
  if (state.machine.devices.size > 0) {
    if (bound.length === 0) return bindOf(intent, state);
    if (!exported) return exportOf(pick(bound, intent.pick) as Device, intent, state);
  } else {
    if (testDevices(state).length === 0) return mockDomainOf(intent, state) ?? ioasOf(intent, state);
    if (!exported) return mockDmabufOf(intent, state) ?? ioasOf(intent, state);
  }
  const as = freeName(state, 'memory');
  if (as !== undefined) return { do: 'mem_alloc', as, length: 0x10000n };
  return mapFileOf(intent, state) ?? ioasOf(intent, state);
}

const closeOf = ({ pick: n }: Intent, state: State): Command => ({
  do: 'iommufd_close',
  ctx: pick(openContexts(state), n)?.name ?? 'ctx0',
});

function openOf(intent: Intent, state: State): Command {
  const as = freeName(state, 'context');
  return as === undefined ? closeOf(intent, state) : { do: 'iommufd_open', as };
}

function withIoas(intent: Intent, state: State, make: (ioas: Ioas) => Command): Command {
  const ioas = pick(usableIoases(state), intent.pick);
  return ioas === undefined ? prerequisite(intent, state) : make(ioas);
}

function withDevice(intent: Intent, state: State, make: (device: Device) => Command, able?: 'flr'): Command {
  const fits = (it: Device): boolean => isBound(it) && (able === undefined || it.config.resets.includes(able));
  const device = pickOf(state.devices, intent.pick, fits);
  if (device !== undefined) return make(device);
  return able !== undefined && state.devices.some(isBound) ? bindOf(intent, state) : prerequisite(intent, state);
}

function ioasOf(intent: Intent, state: State): Command {
  const ctx = pick(openContexts(state), intent.pick);
  const as = freeName(state, 'ioas');
  if (ctx === undefined) return openOf(intent, state);
  return as === undefined ? { do: 'destroy', obj: objectOf(intent, state) } : { do: 'ioas_alloc', ctx: ctx.name, as };
}

/** Memory that is off is nearly always turned on again; most of the time it is on. */
const memoryOf = ({ name, memory }: Device, { how }: Intent): Command => ({
  do: 'vfio_memory',
  dev: name,
  enable: memory ? how % 8 === 0 : how % 8 !== 0,
});

const powerOf = ({ name, power }: Device): Command => ({ do: 'vfio_power', dev: name, state: power === 0 ? 3 : 0 });

/** A slice of the largest BAR, whole or some pages; now and then two slices, which only the CPU can map. */
function exportOf({ name, config }: Device, { from, size, how }: Intent, state: State): Command {
  const as = freeName(state, 'fd');
  if (as === undefined) return { do: 'fd_close', fd: fdOf({ pick: from } as Intent, state) };
  const [region, bar] = largestBar(config);
  const pages = pagesIn(bar);
  const first = size % 3 === 0 ? 0 : from % Math.max(pages - 1, 1);
  const count = size % 3 === 0 ? pages : 1 + (size % Math.min(pages - first, 16));
  const slice = [BigInt(first * PAGE), BigInt(count * PAGE)] as const;
  const twice = how % 16 === 15 || (state.machine.mapsBuffers && how % 8 === 7);
  return { do: 'vfio_export', dev: name, region, ranges: twice ? [slice, slice] : [slice], as };
}

function attachOf(intent: Intent, state: State): Command {
  return withDevice(intent, state, (device) => {
    const shares = ({ context }: Space | Domain): boolean => context === device.context;
    const domain = intent.how % 4 === 3 ? pickOf(manualDomains(state), intent.at, shares) : undefined;
    const pt = (domain ?? pickOf(usableIoases(state), intent.at, ({ space }) => shares(space))?.space)?.name;
    return pt === undefined ? ioasOf(intent, state) : { do: 'vfio_attach', dev: device.name, pt };
  });
}

function hwptOf(intent: Intent, state: State): Command {
  const as = freeName(state, 'hwpt');
  if (as === undefined) return { do: 'destroy', obj: pick(manualDomains(state), intent.pick)?.name ?? 'h0' };
  const device = pick([...boundDevices(state), ...testDevices(state)], intent.pick);
  if (device === undefined) return prerequisite(intent, state);
  const ioas = pickOf(usableIoases(state), intent.at, ({ space }) => space.context === device.context);
  if (ioas === undefined) return ioasOf(intent, state);
  // Only test devices track dirty pages.
  const tracks = intent.how % 8 === 7 && testDevices(state).includes(device);
  return { do: 'hwpt_alloc', dev: device.name, ioas: ioas.space.name, as, ...(tracks && { flags: 2n }) };
}

function objectOf({ pick: n }: Intent, state: State): string {
  const domain = n % 2 === 0 ? pick(manualDomains(state), n >> 1) : undefined;
  return (domain ?? pick(usableIoases(state), n >> 1)?.space)?.name ?? 'a0';
}

const fdOf = ({ pick: n }: Intent, state: State): string =>
  pick([...sources(state, 'dmabuf'), ...sources(state, 'memfd')], n)?.name ?? 'b0';

const dupOf = (intent: Intent, state: State): Command => {
  const as = freeName(state, 'fd');
  const fd = fdOf(intent, state);
  return as === undefined ? { do: 'fd_close', fd } : { do: 'fd_dup', fd, as };
};

const memoryAllocOf = (intent: Intent, state: State): Command => {
  const as = freeName(state, 'memory');
  return as === undefined
    ? (mapOf(intent, state) ?? prerequisite(intent, state))
    : { do: 'mem_alloc', as, length: intent.size % 8 === 7 ? 0x400000n : 0x10000n };
};

const memfdOf = (intent: Intent, state: State): Command => {
  const as = freeName(state, 'memfd');
  return as === undefined
    ? (mapFileOf(intent, state) ?? prerequisite(intent, state))
    : { do: 'memfd_create', as, length: intent.size % 8 === 7 ? 0x400000n : 0x8000n };
};

const closedDevice = ({ pick: n }: Intent, state: State): string => {
  const all = machineDevices(state);
  return (pickOf(all, n, ({ opening }) => opening === undefined) ?? pick(all, n))?.name ?? 'dev0';
};

const openDevice = ({ pick: n }: Intent, state: State): string => {
  const all = machineDevices(state);
  return (pickOf(all, n, ({ opening }) => opening !== undefined) ?? pick(all, n))?.name ?? 'dev0';
};

/** Bind a device that is open; if all open ones are bound, open another. */
function bindOf(intent: Intent, state: State): Command {
  const ctx = pick(openContexts(state), intent.at >> 3);
  if (ctx === undefined) return openOf(intent, state);
  const unbound = ({ opening, holder }: Device): boolean => opening !== undefined && holder === undefined;
  const device = pickOf(state.devices, intent.pick, unbound);
  if (device !== undefined) return { do: 'vfio_bind', dev: device.name, ctx: ctx.name };
  return { do: 'vfio_open', dev: closedDevice(intent, state) };
}
