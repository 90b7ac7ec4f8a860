/**
 * The call-order oracle: of each area that a step maps in a domain, or unmaps, it says which calls there must be and in
 * what order. A buffer's area is mapped and unmapped by one call; memory is mapped from its first byte to its last;
 * areas follow one another, and, in each, the domains of an IOAS in the order of their slots.
 *
 * Source: iommufd 1.5, 2.11, 4.3, I-21, I-22, I-35, I-62, I-63
 */
import type { DomainCall } from '../impl/iommu/domain.ts';
import { toBigint } from '../impl/kernel/units.ts';
import type { Area, State } from '../model/spec.ts';
import type { Command } from '../trace/command.ts';
import { domainNames } from './changes.ts';
import type { Seen, Watcher } from './mapping/walk.ts';

/** A call, with exact numbers. `end` is one past the last byte. */
interface Call {
  readonly op: 'map' | 'unmap';
  readonly domain: string;
  readonly iova: bigint;
  readonly end: bigint;
}

/** An area that a domain maps. */
interface Mapped {
  readonly domain: string;
  readonly area: Area;
}

const REVOKING: ReadonlySet<Command['do']> = new Set(['vfio_memory', 'vfio_reset', 'vfio_close', 'mock_revoke']);

export class CallOrderWatcher implements Watcher {
  readonly name = 'call order';
  /** Domains in the order of their slots, by IOAS. */
  readonly #slots = new Map<string, string[]>();
  /** Steps that made more calls than one. */
  seen = 0;

  saw({ world, before, command, result, calls: made }: Seen): string[] {
    const { machine, state } = world;
    this.#moveSlots(state);
    if (made.length > 1) this.seen++;
    const grain = BigInt(machine.iommu.pageSizes[0] as number);
    const odd = made.filter((call) => !wholePages(call, grain)).map((call) => `${call.op}: no whole pages`);
    const calls = made.map(callOf);
    const wrong = [...odd, ...disorder(calls, command, 'err' in result)];
    if ('err' in result && state === before) return [...wrong, ...undone(command, before, calls)];
    const [had, has] = [mapped(before), mapped(state)];
    const keepsMmio = machine.kernel.features.dmabufKeepsMmio;
    for (const it of has.filter((it) => !includes(had, it))) wrong.push(...tiled('map', it, calls, keepsMmio));
    for (const it of had.filter((it) => !includes(has, it))) wrong.push(...tiled('unmap', it, calls, true));
    if (command.do === 'ioas_map' || command.do === 'ioas_map_file' || command.do === 'ioas_copy') {
      wrong.push(
        ...this.#inSlotOrder(
          has.filter((it) => !includes(had, it)),
          calls,
        ),
      );
    }
    return wrong;
  }

  /** 1.5: a new domain gets the last slot; the last slot moves into the one of a domain that goes. */
  #moveSlots(state: State): void {
    for (const ioas of state.ioases) {
      const names = domainNames(ioas);
      const slots = this.#slots.get(ioas.space.name) ?? [];
      this.#slots.set(ioas.space.name, slots);
      for (const name of names) if (!slots.includes(name)) slots.push(name);
      for (let at = slots.length - 1; at >= 0; at--) {
        if (names.includes(slots[at] as string)) continue;
        const last = slots.pop() as string;
        if (at < slots.length) slots[at] = last;
      }
    }
    for (const name of this.#slots.keys()) {
      if (!state.ioases.some(({ space }) => space.name === name)) this.#slots.delete(name);
    }
  }

  /** Area by area; and in each area, no slot before the one before it. */
  #inSlotOrder(made: readonly Mapped[], calls: readonly Call[]): string[] {
    const areas = [...new Set(made.map(({ area }) => area))].sort((a, b) => (a.iova < b.iova ? -1 : 1));
    const first = (area: Area, domain: string): number =>
      calls.findIndex((call) => call.domain === domain && within(call, area));
    const order = areas.flatMap((area) => {
      const domains = made.filter((it) => it.area === area).map(({ domain }) => domain);
      const slots = [...this.#slots.values()].find((names) => names.includes(domains[0] as string)) ?? [];
      return slots.map((domain) => first(area, domain));
    });
    return order.every((at, i) => i === 0 || (order[i - 1] as number) < at) ? [] : [`slots in the order ${order}`];
  }
}

const wholePages = (call: DomainCall, grain: bigint): boolean =>
  [toBigint(call.iova), BigInt(call.length), BigInt(call.op === 'map' ? call.phys : 0)].every(
    (it) => it % grain === 0n,
  );

function callOf({ op, domain, iova, length }: DomainCall): Call {
  return { op, domain: domain.name, iova: toBigint(iova), end: toBigint(iova) + BigInt(length) };
}

/** What a domain maps or unmaps in one step ascends; a domain is filled before the one that it replaces is emptied. */
function disorder(calls: readonly Call[], command: Command, refused: boolean): string[] {
  const wrong: string[] = [];
  const last = new Map<string, bigint>();
  for (const { op, domain, iova, end } of calls) {
    // Revokes follow the order in which areas were mapped; an unwind goes back by area.
    if (op === 'unmap' && (refused || REVOKING.has(command.do))) continue;
    const key = `${op} ${domain}`;
    if (iova < (last.get(key) ?? 0n)) wrong.push(`${key}: 0x${iova.toString(16)} comes after what lies above it`);
    last.set(key, end);
  }
  const firstUnmap = calls.findIndex(({ op }) => op === 'unmap');
  const lastMap = calls.findLastIndex(({ op }) => op === 'map');
  if (command.do === 'vfio_attach' && !refused && firstUnmap >= 0 && firstUnmap < lastMap)
    wrong.push('the old domain is emptied before the new one is filled');
  return wrong;
}

/** I-62, I-63: what a refused step has mapped it has unmapped, and a domain that was not to be filled has no calls. */
function undone(command: Command, before: State, calls: readonly Call[]): string[] {
  // Where a stretch begins or ends, as many were unmapped as were mapped.
  const edges = new Map<string, number>();
  const count = (domain: string, at: bigint, by: number): void => {
    const edge = `${domain} 0x${at.toString(16)}`;
    edges.set(edge, (edges.get(edge) ?? 0) + by);
  };
  for (const { op, domain, iova, end } of calls) {
    count(domain, iova, op === 'map' ? 1 : -1);
    count(domain, end, op === 'map' ? -1 : 1);
  }
  const left = [...edges].filter(([, net]) => net !== 0).map(([edge]) => `a refused step leaves something at ${edge}`);
  const adds = command.do === 'vfio_attach' || command.do === 'mock_domain' || command.do === 'hwpt_alloc';
  const old = new Set(before.ioases.flatMap((ioas) => domainNames(ioas)));
  const called = calls.filter(({ domain }) => adds && old.has(domain));
  return [...left, ...called.map(({ op, domain }) => `${op} of ${domain}, which is not the new domain`)];
}

function mapped(state: State): Mapped[] {
  return state.ioases.flatMap((ioas) =>
    domainNames(ioas).flatMap((domain) => ioas.areas.filter(({ live }) => live).map((area) => ({ domain, area }))),
  );
}

const includes = (all: readonly Mapped[], { domain, area }: Mapped): boolean =>
  all.some((it) => it.domain === domain && it.area === area);

const within = ({ iova, end }: Call, area: Area): boolean => area.iova <= iova && end <= area.iova + area.length;

/** The calls of an area begin and end where it does, and leave nothing out; a buffer has one. */
function tiled(op: Call['op'], { domain, area }: Mapped, calls: readonly Call[], whole: boolean): string[] {
  const its = calls.filter((call) => call.op === op && call.domain === domain && within(call, area));
  const one = whole && area.source.is === 'dmabuf';
  let at = area.iova;
  for (const { iova, end } of its) at = iova === at ? end : -1n;
  if (at === area.iova + area.length && (!one || its.length === 1)) return [];
  const hex = (it: bigint): string => `0x${it.toString(16)}`;
  const stretches = its.map(({ iova, end }) => `${hex(iova)}..${hex(end)}`).join(', ') || 'nothing';
  return [`${op} of ${area.source.is} at ${hex(area.iova)} length ${hex(area.length)} in ${domain}: ${stretches}`];
}
