/** What each step must answer, and what it makes of the ghost: one function for each row of the trigger table. */
import {
  answers,
  born,
  type Ghost,
  type GhostBuffer,
  type GhostDevice,
  leaveLowPower,
  rest,
  restoreIfAnswers,
  resume,
  revokeAll,
  setPower,
} from './ghost.ts';
import type { Answer, BufferStep, DeviceStep, Fault, Step } from './step.ts';

/** The answer of a step, of which the ghost is then aware. */
export function expect(ghost: Ghost, step: Step): Answer {
  if ('buf' in step) return ofBuffer(ghost.buffers[step.buf] as GhostBuffer, step);
  const device = ghost.devices[step.dev] as GhostDevice;
  switch (step.do) {
    case 'open':
      return open(ghost, device, step.ctx, step.fault);
    case 'sriov':
      // The driver brings the function to D0 before; here it must be there.
      device.sriov = step.on && device.power === 0;
      return 'ok';
    case 'backdoor':
      return 'ok';
    case 'touch':
      return touch(ghost, device);
    case 'close':
      return close(ghost, device);
  }
  if (device.ctx === undefined) return step.do === 'wake' ? woken(device, step.fault) : 'EBADF';
  const woke = resume(device, step.fault);
  const answer = woke === 'ok' ? call(ghost, device, step) : woke;
  rest(device);
  return answer;
}

/** Somebody wakes a function that nobody has open. */
function woken(device: GhostDevice, fault: Fault | undefined): Answer {
  const answer = resume(device, fault);
  if (answer === 'ok') rest(device);
  return answer;
}

/** A call on an open device, which is awake. */
function call(ghost: Ghost, device: GhostDevice, step: DeviceStep & { readonly fault?: Fault }): Answer {
  const { fault } = step;
  switch (step.do) {
    case 'export':
      ghost.buffers.push(born(device));
      return 'ok';
    case 'command':
      return step.offset === 4 ? command(ghost, device, (step.value & 2) !== 0, fault) : 'ok';
    case 'power':
      if (step.state === 3) revokeAll(ghost, device);
      setPower(device, step.state);
      restoreIfAnswers(ghost, device);
      return 'ok';
    case 'reset':
      return reset(ghost, device, fault);
    case 'flr':
    case 'afFlr':
      if (device.kind[step.do]) functionReset(ghost, device, fault);
      return 'ok';
    case 'lpEnter':
      device.simple = false;
      revokeAll(ghost, device);
      if (device.engaged) return 'EINVAL';
      device.engaged = true;
      device.armed = step.wakeup;
      return 'ok';
    case 'lpExit':
      leaveLowPower(device);
      restoreIfAnswers(ghost, device);
      return 'ok';
    case 'hotReset':
      return hotReset(ghost, device, ghost.devices[step.busy ?? -1], fault);
    default:
      return 'ok';
  }
}

/** PCI_COMMAND: the register is read first; one that cannot be written leaves the buffers revoked. */
function command(ghost: Ghost, device: GhostDevice, on: boolean, fault: Fault | undefined): Answer {
  if (fault === 'pci_user_read_config_word') return 'EIO';
  if (!on) revokeAll(ghost, device);
  if (fault === 'pci_user_write_config_word') {
    device.simple = false;
    return 'EIO';
  }
  device.memory = on;
  restoreIfAnswers(ghost, device);
  return 'ok';
}

function reset(ghost: Ghost, device: GhostDevice, fault: Fault | undefined): Answer {
  const { flr, afFlr, pmReset } = device.kind;
  if (!flr && !afFlr && !pmReset) return 'EINVAL';
  setPower(device, 0);
  return functionReset(ghost, device, fault);
}

/** Gives back iff M(d), also when the reset failed. */
function functionReset(ghost: Ghost, device: GhostDevice, fault: Fault | undefined): Answer {
  revokeAll(ghost, device);
  const failed = fault === 'pci_dev_trylock';
  if (!failed) device.power = 0;
  restoreIfAnswers(ghost, device);
  return failed ? 'EAGAIN' : 'ok';
}

function hotReset(ghost: Ghost, device: GhostDevice, busy: GhostDevice | undefined, fault: Fault | undefined): Answer {
  const members = ghost.devices.filter(({ kind }) => kind.set === device.kind.set);
  const awake: GhostDevice[] = [];
  let answer: Answer = 'ok';
  for (const member of members) {
    // The caller's own device is awake for the call.
    if (member !== device) answer = resume(member, fault);
    if (answer !== 'ok') break;
    awake.push(member);
  }
  if (answer === 'ok') answer = resetMembers(ghost, device, members, busy);
  for (const member of awake) if (member !== device) rest(member);
  return answer;
}

function resetMembers(
  ghost: Ghost,
  device: GhostDevice,
  members: readonly GhostDevice[],
  busy: GhostDevice | undefined,
): Answer {
  const owned = ({ ctx, kind }: GhostDevice): boolean =>
    ctx === device.ctx || ghost.devices.some((other) => other.ctx === device.ctx && other.kind.group === kind.group);
  let answer: Answer = 'ok';
  const taken: GhostDevice[] = [];
  for (const member of members) {
    if (!owned(member)) answer = 'EINVAL';
    else if (member === busy) answer = 'EBUSY';
    if (answer !== 'ok') break;
    revokeAll(ghost, member);
    taken.push(member);
  }
  if (answer === 'ok') {
    for (const member of members) member.power = 0;
    if (device.kind.linkFails) answer = 'ENOTTY';
  }
  for (const member of taken) if (member.ctx !== undefined) restoreIfAnswers(ghost, member);
  return answer;
}

/** Open, bind to a context, and map a BAR. */
function open(ghost: Ghost, device: GhostDevice, ctx: number, fault: Fault | undefined): Answer {
  if (device.ctx !== undefined) return 'EBUSY';
  const others = ghost.devices.filter((other) => other.ctx !== undefined && other.kind.group === device.kind.group);
  if (others.some((other) => other.ctx !== ctx)) return 'EPERM';
  if (fault === 'pm_runtime_resume_and_get') return 'EIO';
  device.power = 0;
  if (fault === 'pci_dev_trylock') return 'EAGAIN';
  device.ctx = ctx;
  device.memory = true;
  device.simple = true;
  device.bar = ghost.series ? born(device) : undefined;
  return 'ok';
}

/** The buffers forget the device, and stay revoked for ever. */
function close(ghost: Ghost, device: GhostDevice): Answer {
  if (device.ctx === undefined) return 'EBADF';
  device.entry = false;
  device.bar = undefined;
  revokeAll(ghost, device);
  for (const buffer of ghost.buffers) if (buffer.owner === device) buffer.owner = undefined;
  leaveLowPower(device);
  device.ctx = undefined;
  device.power = 0;
  return 'ok';
}

/** The CPU gets through while the device answers and low power is not entered. */
function touch(ghost: Ghost, device: GhostDevice): Answer {
  if (device.ctx === undefined) return 'EBADF';
  if (device.entry) return 'ok';
  const refused = device.engaged || !answers(device) || (ghost.series && device.bar?.revoked !== false);
  device.entry = !refused;
  return refused ? 'SIGBUS' : 'ok';
}

function ofBuffer(buffer: GhostBuffer, step: BufferStep): Answer {
  if (!buffer.files) return 'EBADF';
  switch (step.do) {
    case 'attach':
      if (buffer.revoked) return 'ENODEV';
      buffer.calls.push(0);
      return 'ok';
    case 'map':
      if (buffer.calls.length === 0) return 'EINVAL';
      return buffer.revoked ? 'ENODEV' : 'ok';
    case 'closeFd':
      buffer.files = false;
      buffer.owner = undefined;
      return 'ok';
    default:
      return 'ok';
  }
}
