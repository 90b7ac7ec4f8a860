/**
 * The oracle of sequences of triggers: for every buffer whether it is revoked, by the last column of the trigger table
 * and nothing else; for every device what the table asks about. It knows nothing of locks, fences or maps.
 *
 * Source: vfio-dmabuf 2.6, 2.8, V-08
 */
import type { Answer, Fault, Kind } from './step.ts';

export interface GhostBuffer {
  /** The device, until that is closed. */
  owner: GhostDevice | undefined;
  /** G(b) */
  revoked: boolean;
  /** How often each importer must have been called by now, by the number of the importer. */
  readonly calls: number[];
  files: boolean;
}

export interface GhostDevice {
  readonly kind: Kind;
  /** The number of the context that it is bound to. */
  ctx: number | undefined;
  memory: boolean;
  power: number;
  engaged: boolean;
  armed: boolean;
  sriov: boolean;
  /** Since it was opened, nobody has used low power, and no write of PCI_COMMAND has failed. */
  simple: boolean;
  /** The CPU has an entry for a BAR. */
  entry: boolean;
  /** On the profile of the series: what stands behind the CPU's mapping is revoked. */
  bar: GhostBuffer | undefined;
}

export interface Ghost {
  readonly devices: readonly GhostDevice[];
  readonly buffers: GhostBuffer[];
  /** The unmerged series: giving back calls nobody, and BARs are mapped by way of buffers. */
  readonly series: boolean;
}

export function newGhost(kinds: readonly Kind[], series: boolean): Ghost {
  const device = (kind: Kind): GhostDevice => ({
    kind,
    ctx: undefined,
    memory: false,
    power: 0,
    engaged: false,
    armed: false,
    sriov: false,
    simple: true,
    entry: false,
    bar: undefined,
  });
  return { devices: kinds.map(device), buffers: [], series };
}

/** M(d): the function answers. */
export const answers = ({ power, memory, kind }: GhostDevice): boolean => power < 3 && (kind.virtual || memory);

/** move(true), after or before the zap: in the end nothing of the device is reached. */
export function revokeAll(ghost: Ghost, device: GhostDevice): void {
  if (!ghost.series || device.bar?.revoked === false) device.entry = false;
  for (const buffer of [...ghost.buffers, ...barsOf(ghost)]) {
    if (buffer.owner !== device || buffer.revoked) continue;
    buffer.revoked = true;
    tell(buffer);
  }
}

/** `iff M(d)` */
export function restoreIfAnswers(ghost: Ghost, device: GhostDevice): void {
  if (!answers(device)) return;
  for (const buffer of [...ghost.buffers, ...barsOf(ghost)]) {
    if (buffer.owner !== device || !buffer.revoked) continue;
    buffer.revoked = false;
    if (!ghost.series) tell(buffer);
  }
}

const barsOf = ({ devices }: Ghost): GhostBuffer[] => devices.flatMap(({ bar }) => bar ?? []);

function tell({ calls }: GhostBuffer): void {
  for (let i = 0; i < calls.length; i++) calls[i] = (calls[i] as number) + 1;
}

/** A new buffer is as the memory is. */
export const born = (device: GhostDevice): GhostBuffer => ({
  owner: device,
  revoked: !answers(device),
  calls: [],
  files: true,
});

/** Asleep, by low power or because nobody has it open. */
export const asleep = ({ ctx, engaged }: GhostDevice): boolean => ctx === undefined || engaged;

/** A resume gives nothing back. EIO when it fails. */
export function resume(device: GhostDevice, fault: Fault | undefined): Answer {
  if (!asleep(device)) return 'ok';
  if (fault === 'pm_runtime_resume_and_get') return 'EIO';
  if (device.armed) leaveLowPower(device);
  return 'ok';
}

export function leaveLowPower(device: GhostDevice): void {
  device.engaged = false;
  device.armed = false;
}

/** Whoever woke the device has done with it: it sleeps again unless it was to stay awake, and does so in D0. */
export function rest(device: GhostDevice): void {
  if (asleep(device)) device.power = 0;
}

/** A power state is refused that the function has not, or that its virtual functions cannot bear. */
export function setPower(device: GhostDevice, state: number): void {
  if (state > 0 && device.sriov) return;
  if (state === 3 && !device.kind.d3hot) return;
  device.power = state;
}
