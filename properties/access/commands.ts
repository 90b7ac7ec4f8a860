/**
 * The commands around the accesses. What they answer is judged elsewhere, except where accesses have a say in it: what
 * an UNMAP must answer, who is in use, what is aligned, and which pages can be had.
 */

import type { Errno, Result } from '../../trace/answer.ts';
import type { Command, Handle } from '../../trace/command.ts';
import { showResult } from '../../trace/show.ts';
import {
  type Area,
  alignmentOf,
  domainsOf,
  isAligned,
  type Memory,
  type Oracle,
  P,
  type Slab,
  type Space,
  unmapped,
  unreachable,
} from './oracle.ts';
import type { Scene } from './scene.ts';
import { type Outcome, sameAnswer } from './step.ts';

export function performCommand(scene: Scene, command: Command): Outcome {
  const result = scene.machine.execute(command);
  const answer = 'err' in result ? result.err : 'ok';
  return { answer, wrong: judge(scene, command, result) };
}

const spaceOf = ({ spaces }: Oracle, name: string): Space => spaces.find((space) => space.name === name) as Space;

/** Note in the oracle what was done; what is wrong with the answer. */
function judge(scene: Scene, command: Command, result: Result): readonly string[] {
  const { oracle } = scene;
  const err = 'err' in result ? result.err : undefined;
  switch (command.do) {
    case 'ioas_map':
    case 'ioas_map_file':
      return map(oracle, command, result);
    case 'ioas_copy':
      return copy(oracle, command, result);
    case 'ioas_unmap':
      return unmap(oracle, command, result);
    case 'destroy':
      return sameAnswer(err, destroyed(oracle, command.obj)).wrong;
    case 'vfio_attach': {
      const space = spaceOf(oracle, command.pt);
      const wrong = space.devices.size > 0 ? [] : filled(oracle, space.areas, err);
      if (err !== undefined) return wrong;
      for (const { devices } of oracle.spaces) devices.delete(command.dev);
      space.devices.add(command.dev);
      return wrong;
    }
    case 'hwpt_alloc': {
      const space = spaceOf(oracle, command.ioas);
      const wrong = filled(oracle, space.areas, err);
      if (err === undefined) space.hwpts.add(command.as);
      return wrong;
    }
    case 'vfio_close':
    case 'vfio_detach':
      for (const { devices } of oracle.spaces) devices.delete(command.dev);
      break;
    case 'vfio_memory':
      if (err === undefined) scene.barAnswers = command.enable;
      break;
    case 'ioas_alloc':
      oracle.spaces.push({ name: command.as, areas: [], devices: new Set(), hwpts: new Set() });
      break;
  }
  // Closing the device takes the memory away, as switching it off does.
  const takes =
    (command.do === 'vfio_memory' && !command.enable) || (command.do === 'vfio_close' && command.dev === 'dev0');
  if (takes)
    for (const { areas } of oracle.spaces) for (const { slab } of areas) slab.revoked ||= slab.memory.kind === 'dmabuf';
  return [];
}

/** A domain was filled with the areas, or one of them could not be had. */
function filled(oracle: Oracle, areas: readonly Area[], err: Errno | undefined): string[] {
  const why = areas.map((area) => unreachable(oracle, area, area.iova, area.length)).filter((it) => it !== undefined);
  if (err === undefined) return why.length === 0 ? [] : ['pages are mapped that cannot be had'];
  return err === 'EFAULT' && !why.includes('EFAULT') ? ['all pages could be had'] : [];
}

type MapCommand = Extract<Command, { do: 'ioas_map' | 'ioas_map_file' }>;

function map(oracle: Oracle, command: MapCommand, result: Result): string[] {
  const [name, at] = command.do === 'ioas_map' ? [command.mem, command.offset] : [command.fd, command.start];
  const memory = oracle.memories.find((it) => it.name === name) as Memory;
  const [offset, length] = [Number(at), Number(command.length)];
  const slab: Slab = {
    memory,
    base: offset - (offset % P),
    last: offset + length - 1,
    writable: command.prot.includes('w'),
    revoked: false,
  };
  const area = { iova: Number(command.iova ?? 0n), length, prot: command.prot, slab, start: offset % P };
  return add(oracle, spaceOf(oracle, command.ioas), [area], command.iova, result);
}

function copy(oracle: Oracle, command: Extract<Command, { do: 'ioas_copy' }>, result: Result): string[] {
  const [from, length] = [Number(command.src_iova), Number(command.length)];
  const areas: Area[] = [];
  let at = Number(command.dst_iova ?? 0n);
  for (const source of spaceOf(oracle, command.src).areas) {
    const first = Math.max(source.iova, from);
    const end = Math.min(source.iova + source.length, from + length);
    if (first >= end) continue;
    const { slab } = source;
    areas.push({ iova: at, length: end - first, prot: command.prot, slab, start: source.start + first - source.iova });
    at += end - first;
  }
  return add(oracle, spaceOf(oracle, command.dst), areas, command.dst_iova, result);
}

/** Areas that lie back to back from a fixed IOVA on, or from 0 for one that the kernel chooses. */
function add(oracle: Oracle, space: Space, areas: Area[], fixed: bigint | undefined, result: Result): string[] {
  const to = alignmentOf(oracle, space);
  const mapped = domainsOf(space).length > 0;
  if ('err' in result) {
    const [area] = areas;
    // The offset in the first page is looked at last.
    const odd =
      fixed !== undefined && area !== undefined && areas.length === 1 && !isAligned({ ...area, start: 0 }, to);
    const wrong = odd && area.slab.memory.kind === 'user' && !['EINVAL', 'ENOENT'].includes(result.err);
    return [...(wrong ? ['EINVAL is expected'] : []), ...(mapped ? filled(oracle, areas, result.err) : [])];
  }
  const shift = fixed === undefined ? Number(result.ok.iova) : 0;
  const placed = areas.map((area) => ({ ...area, iova: area.iova + shift }));
  const wrong = mapped ? filled(oracle, placed, undefined) : [];
  // Of a copy in several pieces only the whole length is looked at.
  if (placed.length === 1 && !placed.every((area) => isAligned(area, to)))
    wrong.push(`what is mapped is not aligned to ${to}`);
  space.areas = [...space.areas, ...placed].sort((a, b) => a.iova - b.iova);
  return wrong;
}

function unmap(
  oracle: Oracle,
  { ioas, iova, length }: Extract<Command, { do: 'ioas_unmap' }>,
  result: Result,
): string[] {
  const everything = iova === 0n && length === (1n << 64n) - 1n;
  const expected = unmapped(oracle, spaceOf(oracle, ioas), Number(iova), everything ? 2 ** 64 : Number(length));
  const answer = everything && expected === 'ENOENT' ? 0 : expected;
  const got = 'err' in result ? result.err : Number(result.ok.length);
  return got === answer ? [] : [`${answer} is expected, not ${showResult(result)}`];
}

function destroyed(oracle: Oracle, obj: Handle): Errno | undefined {
  const space = oracle.spaces.find(({ name }) => name === obj);
  if (space === undefined) {
    for (const { hwpts } of oracle.spaces) hwpts.delete(obj);
    return undefined;
  }
  if (domainsOf(space).length > 0 || oracle.accesses.some((access) => access.space === space)) return 'EBUSY';
  oracle.spaces = oracle.spaces.filter((other) => other !== space);
  return undefined;
}
