/**
 * All that a call which fails must leave as it was, as lines to compare: more than the model knows, such as numbers of
 * objects, tables, charges and references. What no caller can ever notice is left out: names that are counted up, and
 * how often a lock was taken.
 */
import type { Domain } from '../../impl/iommu/domain.ts';
import type { IommufdCtx } from '../../impl/iommufd/context.ts';
import { IommufdDevice } from '../../impl/iommufd/device.ts';
import { Hwpt } from '../../impl/iommufd/hw-pagetable.ts';
import type { IoPagetable } from '../../impl/iommufd/io-pagetable.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import type { Pages } from '../../impl/iommufd/pages.ts';
import type { Mm } from '../../impl/kernel/mm.ts';
import { hex, type U64 } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { showHex } from '../../trace/show.ts';
import { wholeDomain } from '../observe.ts';

/** The machine, at rest. That a mapping of the CPU is in two parts shows nowhere. */
export function stateOf(machine: Machine): string[] {
  const lines: string[] = [];
  for (const [fd, { label }] of machine.fds.entries) lines.push(`descriptor ${fd} is ${label}`);
  for (const [name, named] of machine.names) lines.push(`${name} names ${named.kind}${'fd' in named ? named.fd : ''}`);
  const mapped = machine.processes.flatMap(({ mm }) => mm.vmas.map(({ file }) => file));
  for (const file of machine.kernel.live.files) {
    const maps = mapped.filter((each) => each === file).length;
    lines.push(`${file.label} has ${file.references - maps} references besides those of mappings`);
  }
  for (const pages of machine.kernel.live.pages) lines.push(pagesLine(pages as Pages));
  for (const ctx of machine.contexts) contextLines(ctx, lines);
  for (const domain of machine.iommu.domains) domainLines(machine, domain, lines);
  for (const device of machine.devices.values()) deviceLines(device, lines);
  for (const { name, group } of machine.mocks.values()) lines.push(`${name} is in ${group.domain?.name}`);
  for (const { name, mm, user } of machine.processes) {
    lines.push(`user ${user.name} is charged for ${user.lockedVm}`);
    mmLines(name, mm, lines);
  }
  for (const { name, pinned } of machine.ram.backings) if (pinned > 0) lines.push(`${pinned} pins of ${name}`);
  return lines;
}

/** What differs, a line each: what is gone, then what has come. */
export function differences(before: readonly string[], after: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of before) counts.set(line, (counts.get(line) ?? 0) + 1);
  for (const line of after) counts.set(line, (counts.get(line) ?? 0) - 1);
  const gone: string[] = [];
  const come: string[] = [];
  for (const [line, count] of counts) {
    if (count > 0) gone.push(`before: ${line}`);
    if (count < 0) come.push(`now: ${line}`);
  }
  return [...gone, ...come];
}

function pagesLine(pages: Pages): string {
  const { label, npages, references, npinned, ncharged, source, domainsItree } = pages;
  const of = source.kind === 'dmabuf' ? ` of ${source.dmabuf.name}, ${source.len} bytes,` : '';
  const held = [...(pages.accesses?.pinnedPfns ?? [])].length;
  const numbers = `${references} references, ${npinned} pinned, ${ncharged} charged, ${held} held`;
  return `${npages} ${label}${of} have ${numbers}, ${domainsItree.size} areas in domains`;
}

function contextLines(ctx: IommufdCtx, lines: string[]): void {
  const context = ctx.file.label;
  for (const group of ctx.groups.values())
    lines.push(`a group of ${context} has ${group.devices} devices, ${group.attached.size} attached`);
  for (const object of ctx.objects) {
    const { kind, id, users, finalized } = object;
    lines.push(`${kind} ${id} of ${context} has ${users} users${finalized ? '' : ', unfinished'}`);
    if (object instanceof Ioas) spaceLines(object.name, object.iopt, lines);
    if (object instanceof Hwpt) lines.push(`hwpt ${id} has domain ${object.domain.name}`);
    if (object instanceof IommufdDevice) lines.push(`device ${id} is ${object.dev.name}`);
  }
}

const range = ({ start, last }: { readonly start: U64; readonly last: U64 }): string => `[${hex(start)}, ${hex(last)}]`;

function spaceLines(name: string, iopt: IoPagetable, lines: string[]): void {
  const domains = iopt.domains.map((domain) => domain.name).join(', ');
  lines.push(`${name} is aligned to ${iopt.alignment}, has domains ${domains}, large pages ${!iopt.disableLargePages}`);
  for (const each of iopt.reserved.all()) lines.push(`${name} reserves ${range(each)}`);
  for (const each of iopt.allowed.all()) lines.push(`${name} allows ${range(each)}`);
  for (const area of iopt.areas.all()) {
    const { prot, index, pageOffset, storage, tracked, numAccesses, numLocks, preventAccess, pages } = area;
    const stored = `stored in ${storage?.name}, tracked for ${tracked.map((domain) => domain.name).toSorted()}`;
    const shown = `shows ${pages?.label} from ${index}+${pageOffset} on as ${prot}`;
    const accesses = `${numAccesses} accesses, ${numLocks} locks${preventAccess ? ', and no more' : ''}`;
    lines.push(`${name} has an area at ${range(area)}, which ${shown}, ${stored}, ${accesses}`);
  }
}

function domainLines(machine: Machine, domain: Domain, lines: string[]): void {
  lines.push(`${domain.name} has ${domain.tables} tables`);
  for (const { iova, memory, offset, length, prot } of wholeDomain(machine, domain)) {
    const where = `${showHex(iova)} to ${memory}+${showHex(offset)}, length ${showHex(length)}`;
    lines.push(`${domain.name} maps ${where}, ${prot}`);
  }
}

function deviceLines(device: VfioPciDevice, lines: string[]): void {
  const { name, group, openCount, power, vconfig, engaged, pmUsage, dmabufs, iommufdAttached, physical } = device;
  const attached = `${iommufdAttached ? 'attached, ' : ''}in domain ${group.domain?.name}, ${group.ownerCount} owners`;
  const open = `open ${openCount} times, counts ${device.registration.count}`;
  const config = vconfig === undefined ? 'no config' : `command ${vconfig.command}, really ${physical.command}`;
  lines.push(`${name} is ${attached}, ${open}, in D${power}, ${config}, used ${pmUsage}, low power ${engaged}`);
  for (const { dmabuf, status, kref, memattr } of dmabufs)
    lines.push(`${dmabuf.name} is ${status}, with ${kref.count} tokens, ${memattr}, ${dmabuf.attached} attached`);
}

function mmLines(name: string, mm: Mm, lines: string[]): void {
  lines.push(`${name} is charged for ${mm.pinnedVm} pages, ${mm.lockedVm} of them locked`);
  const pages = mm.vmas.reduce((sum, { npages }) => sum + npages, 0);
  lines.push(`${name} maps ${pages} pages`);
  for (const { page, pfn, order } of mm.pageTable.leaves())
    lines.push(`${name} sees ${pfn} at ${page}, order ${order}`);
}
