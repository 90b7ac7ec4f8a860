/**
 * Intents of the test lane: the kernel's own test devices and test buffers. A machine has devices, or the test lane, or
 * both; what it lacks has a counterpart that does much the same to an IOAS.
 */
import type { Device, State } from '../../model/spec.ts';
import type { Command } from '../../trace/command.ts';
import type { Intent } from '../intents.ts';
import { freeName, manualDomains, openContexts, pick, pickOf, sources, testDevices, usableIoases } from '../view.ts';

const PAGE = 0x1000n;
/** Domains of the test lane have pages of 2 KiB. */
const TEST_GRAIN = 0x800n;

export type Counterparts = Readonly<Partial<Record<Command['do'], Command['do']>>>;

const WITHOUT_DEVICES: Counterparts = {
  vfio_export: 'mock_dmabuf',
  vfio_memory: 'mock_revoke',
  vfio_attach: 'mock_domain',
  vfio_detach: 'mock_domain_destroy',
  vfio_reset: 'mock_revoke',
  vfio_flr: 'mock_revoke',
  vfio_hot_reset: 'mock_revoke',
  vfio_power: 'mock_revoke',
  vfio_low_power_entry: 'mock_revoke',
  vfio_low_power_exit: 'mock_revoke',
  vfio_wake: 'mock_revoke',
  vfio_dmabuf_revoke: 'mock_revoke',
  vfio_dmabuf_memattr: 'mock_revoke',
  vfio_open: 'mock_domain',
  vfio_bind: 'mock_domain',
  vfio_close: 'mock_domain_destroy',
  dma_read: 'ioas_iova_ranges',
  bar_mmap: 'ioas_option_huge_pages',
  peek: 'ioas_allow_iovas',
  munmap: 'ioas_option_huge_pages',
  fork: 'ioas_allow_iovas',
  exit: 'ioas_allow_iovas',
};
const WITHOUT_TESTS: Counterparts = {
  mock_domain: 'vfio_attach',
  mock_domain_destroy: 'vfio_detach',
  mock_dmabuf: 'vfio_export',
  mock_revoke: 'vfio_memory',
};

/** For each command that the machine has no use for, what is done instead. */
export const COUNTERPARTS = { tests: WITHOUT_DEVICES, devices: WITHOUT_TESTS, both: {} as Counterparts } as const;

/** What a machine has: devices, the test lane, or both. */
export function ofLane<T>({ machine }: State, { tests, devices, both }: Lanes<T>): T {
  if (machine.devices.size === 0) return tests;
  return machine.grain === TEST_GRAIN ? both : devices;
}

/** Something for each kind of machine. */
type Lanes<T> = Readonly<Record<keyof typeof COUNTERPARTS, T>>;

/** A new device in an IOAS, or, now and then, in a domain made by hand. */
export function mockDomainOf(intent: Intent, state: State): Command | undefined {
  const [as, dev] = [freeName(state, 'attached'), freeName(state, 'test device')];
  if (as === undefined || dev === undefined) return mockDestroyOf(intent, state);
  const domain = intent.how % 4 === 3 ? pick(manualDomains(state), intent.at) : undefined;
  const ioas = domain?.name ?? pick(usableIoases(state), intent.at)?.space.name;
  return ioas === undefined ? undefined : { do: 'mock_domain', ioas, as, dev };
}

export function mockDestroyOf({ pick: n }: Intent, state: State): Command | undefined {
  const contexts = openContexts(state);
  const reached = ({ context }: Device): boolean => context !== undefined && contexts.includes(context);
  const device = pickOf(testDevices(state), n, reached);
  return device && { do: 'mock_domain_destroy', dev: device.name };
}

/** Some pages, not always whole. */
export function mockDmabufOf({ size }: Intent, state: State): Command | undefined {
  const as = freeName(state, 'test buffer');
  const length = BigInt(1 + (size % 16)) * PAGE - (size % 8 === 7 ? 1n : 0n);
  return as === undefined ? undefined : { do: 'mock_dmabuf', length, as };
}

/** What is taken back is nearly always given again; most of the time it is there. */
export function mockRevokeOf({ pick: n, how }: Intent, state: State): Command | undefined {
  const buffer = pickOf(sources(state, 'dmabuf'), n, ({ source }) => source.owner === undefined);
  if (buffer === undefined) return undefined;
  const taken = state.takenBack.includes(buffer.source);
  return { do: 'mock_revoke', fd: buffer.name, revoked: taken ? how % 8 === 0 : how % 4 !== 0 };
}
