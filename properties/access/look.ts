/**
 * What can be seen after a step: which pages are pinned how often, which pages drivers were given, contents, areas and
 * alignment of each IOAS, what the domains translate with the invariants over it, and the lifetime rules.
 */

import type { Area as ImplArea } from '../../impl/iommufd/area.ts';
import { MockAccess } from '../../impl/iommufd/mock-access.ts';
import { toBigint } from '../../impl/kernel/units.ts';
import { type AreaSeen, invariants, type Observation } from '../../model/invariants.ts';
import { callsSeen, wholeDomain } from '../observe.ts';
import { showCounterexample } from '../show-counterexample.ts';
import { type Area, alignmentOf, domainsOf, heldPages, P, type Slab } from './oracle.ts';
import { backingOf, ioasOf, type Scene } from './scene.ts';

/** All that is wrong, a line each. */
export function wrongAfter(scene: Scene): string[] {
  return [
    ...wrongInvariants(scene),
    ...wrongPins(scene),
    ...wrongPages(scene),
    ...wrongContents(scene),
    ...wrongSpaces(scene),
    ...scene.machine.audit(),
  ];
}

const slabsOf = ({ oracle }: Scene): Set<Slab> =>
  new Set(oracle.spaces.flatMap(({ areas }) => areas.map(({ slab }) => slab)));

/** Each page of each memory is pinned once for each slab that somebody holds it of. */
function wrongPins(scene: Scene): string[] {
  const wrong: string[] = [];
  const expected = new Map(scene.oracle.memories.map(({ name, size }) => [name, new Uint32Array(Math.ceil(size / P))]));
  for (const slab of slabsOf(scene)) {
    const pins = expected.get(slab.memory.name) as Uint32Array;
    for (const page of heldPages(scene.oracle, slab))
      pins[slab.base / P + page] = (pins[slab.base / P + page] as number) + 1;
  }
  for (const { name, kind } of scene.oracle.memories) {
    if (kind === 'dmabuf') continue;
    const backing = backingOf(scene.machine, name);
    for (const [page, pins] of (expected.get(name) as Uint32Array).entries()) {
      const got = backing.pinsOf(page);
      if (got !== pins) wrong.push(`page ${page} of ${name} is pinned ${got} times, not ${pins}`);
    }
  }
  return wrong;
}

/** Each driver has, of each of its pins, the pages that the areas show. */
function wrongPages(scene: Scene): string[] {
  const wrong: string[] = [];
  for (const { name, kind, space, pins } of scene.oracle.accesses) {
    const driver = scene.drivers.get(name);
    if (kind === 'queue' || !(driver instanceof MockAccess)) continue;
    if (driver.items.size !== pins.size) wrong.push(`${name} has ${driver.items.size} pins, not ${pins.size}`);
    for (const [id, { iova, length }] of pins) {
      const expected: number[] = [];
      for (const area of space?.areas ?? []) {
        const [from, end] = [Math.max(iova, area.iova), Math.min(iova + length, area.iova + area.length)];
        for (let at = from; at < end; at += P) expected.push(pageAt(scene, area, at));
      }
      const got = driver.items.get(id)?.pfns ?? [];
      if (got.join() !== expected.join()) wrong.push(`pin ${id} of ${name} gave pages ${got}, not ${expected}`);
    }
  }
  return wrong;
}

const pageAt = ({ machine }: Scene, { iova, start, slab }: Area, at: number): number =>
  backingOf(machine, slab.memory.name).firstPfn + Math.floor((slab.base + start + at - iova) / P);

/** The bytes of each memory are those of the oracle. */
function wrongContents({ machine, oracle }: Scene): string[] {
  const wrong: string[] = [];
  for (const { name, bytes } of oracle.memories) {
    if (bytes.length === 0) continue;
    const got = new Uint8Array(bytes.length);
    backingOf(machine, name).read(0, got);
    if (Buffer.compare(got, bytes) === 0) continue;
    const at = got.findIndex((byte, i) => byte !== bytes[i]);
    wrong.push(`byte 0x${at.toString(16)} of ${name} is ${got[at]}, not ${bytes[at]}`);
  }
  return wrong;
}

function wrongSpaces(scene: Scene): string[] {
  const wrong: string[] = [];
  for (const space of scene.oracle.spaces) {
    const iopt = ioasOf(scene, space.name)?.iopt;
    if (iopt === undefined) continue;
    const shown = ({ iova, length }: ImplArea): string =>
      `${toBigint(iova).toString(16)}+${toBigint(length).toString(16)}`;
    const got = iopt.areas.all().map(shown).join();
    const expected = space.areas.map(({ iova, length }) => `${iova.toString(16)}+${length.toString(16)}`).join();
    if (got !== expected) wrong.push(`${space.name} has the areas [${got}], not [${expected}]`);
    const alignment = alignmentOf(scene.oracle, space);
    if (iopt.alignment !== alignment) wrong.push(`${space.name} has the alignment ${iopt.alignment}, not ${alignment}`);
    if (domainsOf(space).length !== iopt.domains.length)
      wrong.push(`${space.name} has ${iopt.domains.length} domains, not ${domainsOf(space).length}`);
  }
  return wrong;
}

const BAR = 'dev0:2';

/** The four invariants; and nothing is missing: every area that is not shot is mapped, all of it. */
function wrongInvariants(scene: Scene): string[] {
  const { machine, oracle, barAnswers } = scene;
  const seen: Observation = {
    ptes: [...machine.iommu.domains].flatMap((domain) => wholeDomain(machine, domain)),
    areas: oracle.spaces.flatMap((space) => space.areas.map((area) => seenArea(area, domainsOf(space)))),
    revoked: barAnswers ? [] : [{ memory: BAR, offset: 0n, length: 0x10_0000n }],
    cpu: [],
    ...callsSeen(machine, machine.takeCalls()),
    keepsMmio: machine.kernel.features.dmabufKeepsMmio,
  };
  const wrong = invariants.flatMap(({ name, breaches }) =>
    breaches(seen).map((breach) => `${name}: ${showCounterexample(breach)}`),
  );
  for (const domain of oracle.spaces.flatMap(domainsOf)) {
    const total = (all: readonly { length: bigint }[]): bigint => all.reduce((sum, { length }) => sum + length, 0n);
    const live = total(seen.areas.filter(({ domains, shot }) => !shot && domains.includes(domain)));
    const mapped = total(seen.ptes.filter((pte) => pte.domain === domain));
    if (live !== mapped) wrong.push(`domain ${domain} maps 0x${mapped.toString(16)} bytes, not 0x${live.toString(16)}`);
  }
  return wrong;
}

function seenArea({ iova, length, slab, start }: Area, domains: readonly string[]): AreaSeen {
  const { memory, base, revoked } = slab;
  const seen = { domains, iova: BigInt(iova), length: BigInt(length), offset: BigInt(base + start), shot: revoked };
  if (memory.kind !== 'dmabuf') return { ...seen, memory: memory.name };
  return { ...seen, memory: BAR, slice: { memory: BAR, offset: 0n, length: BigInt(memory.size) } };
}
