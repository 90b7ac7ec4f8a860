/** A whole trace for a terminal of 100 columns: each command and its answer, then what it did to the IOMMU. */
import type { Reach } from './answer.ts';
import type { Handle } from './command.ts';
import type { DeviceConfig, MachineConfig } from './machine-config.ts';
import { showCall, showCommand, showHex, showInterval, showReach, showResult } from './show.ts';
import type { Step, Trace } from './trace.ts';

/** The widest command that its answer is lined up behind, and the widest line that is not folded. */
const WIDEST = 72;
const TERMINAL = 110;

/** The lines of a trace. Reach is shown as it changes: `+` for what a device reaches anew, `-` for what no longer. */
export function showTrace({ name, about, note, recorded, kernel, machine, steps, threads }: Trace): string[] {
  const branches = threads?.branches ?? [];
  const commands = [steps, ...branches].flat().map(({ command }) => showCommand(command).length);
  const column = Math.max(0, ...commands.filter((width) => width <= WIDEST));
  const reached: Reached = new Map();
  const origin = recorded
    ? `, recorded on Linux ${recorded.kernel}`
    : kernel === undefined
      ? ''
      : `, as on Linux ${kernel}`;
  const schedule = threads?.schedule.map(({ after, to }) => `${after}>${to}`) ?? [];
  const lines = [
    `${name}${origin}`,
    ...(about === undefined ? [] : [`  ${about}`]),
    ...(note === undefined ? [] : [`  # ${note}`]),
    ...showMachine(machine),
    ...steps.flatMap((step, i) => showStep(step, i + 1, column, reached)),
    ...branches.flatMap((branch, i) => [`branch ${i + 1}`, ...showBranch(branch, column, reached)]),
    ...(threads ? [`schedule: ${schedule.join(' ') || 'sequential'}`] : []),
  ];
  return lines.flatMap(fold);
}

/** Breaks a line that is too long between words; the rest goes further in. */
function fold(line: string): string[] {
  if (line.length <= TERMINAL) return [line];
  const cut = line.lastIndexOf(' ', TERMINAL);
  const margin = (line.match(/^[ 0-9]*/)?.[0].length ?? 0) + 2;
  if (cut <= margin) return [line];
  return [line.slice(0, cut).trimEnd(), ...fold(' '.repeat(margin) + line.slice(cut).trimStart())];
}

/** A branch starts from what the steps before it left. */
function showBranch(branch: readonly Step[], column: number, before: Reached): string[] {
  const reached = new Map(before);
  return branch.flatMap((step, i) => showStep(step, i + 1, column, reached));
}

type Reached = Map<Handle, readonly Reach[]>;

function showMachine({ pageSize, pageSizes, aperture, reserved, devices }: MachineConfig): string[] {
  const [lowest = 0n] = pageSizes;
  const sizes = pageSizes.length > 4 ? [lowest, '…', pageSizes.at(-1) ?? 0n] : pageSizes;
  const pages = sizes.map((size) => (typeof size === 'bigint' ? showHex(size) : size)).join(' ');
  return [
    `  machine  pages ${showHex(pageSize)}, IOMMU pages ${pages}, aperture ${showInterval(aperture)}`,
    ...(reserved.length === 0 ? [] : [`           reserved ${reserved.map(showInterval).join(', ')}`]),
    ...[...devices].map(([name, device]) => `  ${name.padEnd(7)}  ${showDevice(device)}`),
  ];
}

function showDevice({ bars, group, bus, resets, hotResetErr }: DeviceConfig): string {
  const sizes = [...bars].map(([bar, size]) => `BAR ${bar} ${showHex(size)}`);
  const ways = resets.length === 0 ? 'no reset' : `resets by ${resets.join(', ')}`;
  const hot = hotResetErr === undefined ? [] : [`hot reset gives ${hotResetErr}`];
  return [...sizes, `group ${group}`, `bus ${bus}`, ways, ...hot].join(', ');
}

function showStep(step: Step, number: number, column: number, reached: Reached): string[] {
  const { command, result, blocked, fault, iommu = [], reach = new Map<Handle, Reach[]>(), note } = step;
  const answer = result ? showResult(result) : blocked === undefined ? '' : `blocked: ${blocked}`;
  const failing = fault ? [`       fault  ${fault.site}, number ${fault.nth}`] : [];
  return [
    `${String(number).padStart(4)}  ${showCommand(command).padEnd(column)}  ${answer}`.trimEnd(),
    ...(note === undefined ? [] : [`       # ${note}`]),
    ...failing,
    ...labelled('iommu', iommu.map(showCall)),
    ...labelled('reach', showChanges(reach, reached)),
  ];
}

/** The label stands before the first line only. */
const labelled = (label: string, lines: readonly string[]): string[] =>
  lines.map((line, i) => `       ${i === 0 ? label : ' '.repeat(label.length)}  ${line}`);

/** What changed, said once for all devices that it changed for; takes note of what they reach now. */
function showChanges(reach: ReadonlyMap<Handle, readonly Reach[]>, reached: Reached): string[] {
  const devices = new Map<string, Handle[]>();
  for (const [device, now] of reach) {
    const before = (reached.get(device) ?? []).map(showReach);
    const after = now.map(showReach);
    const gone = before.filter((entry) => !after.includes(entry)).map((entry) => `- ${entry}`);
    const come = after.filter((entry) => !before.includes(entry)).map((entry) => `+ ${entry}`);
    const change = [...gone, ...come].join('\n');
    if (change !== '') devices.set(change, [...(devices.get(change) ?? []), device]);
    reached.set(device, now);
  }
  return [...devices].flatMap(([change, names]) => {
    const label = names.join(' ');
    return change.split('\n').map((line, i) => `${i === 0 ? label : ' '.repeat(label.length)}  ${line}`);
  });
}
