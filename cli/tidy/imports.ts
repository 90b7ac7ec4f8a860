/** Imports point one way: who may import whom, and that nobody gets back to where he started. */
import type { Finding, Module } from './source.ts';

interface Arrows {
  readonly may: readonly string[];
  readonly types?: readonly string[];
}

const everything = ['trace', 'model', 'impl', 'explore', 'properties', 'uniprocessor', 'cli', 'bench'];

/**
 * What a folder may import besides itself, and of what it may import only types. The most exact row counts, so `impl`
 * speaks of the files directly in impl/, machine.ts above all. `iommufd/device.ts` and `vfio/pci-dmabuf.ts` are the two
 * ends of the private interconnect.
 */
const arrows: Readonly<Record<string, Arrows>> = {
  trace: { may: [] },
  model: { may: [], types: ['trace'] },
  'impl/kernel': { may: [], types: ['trace'] },
  'impl/iommu': { may: ['impl/kernel'], types: ['trace'] },
  'impl/type1': { may: ['impl/kernel', 'impl/iommu'], types: ['trace'] },
  'impl/pci': { may: ['impl/kernel', 'impl/iommu'] },
  'impl/dmabuf': { may: ['impl/kernel', 'impl/iommu', 'impl/pci'], types: ['trace'] },
  'impl/importers': { may: ['impl/kernel', 'impl/dmabuf'], types: ['trace'] },
  'impl/vfio': {
    may: ['impl/kernel', 'impl/dmabuf', 'impl/iommu', 'impl/pci', 'impl/iommufd/device.ts'],
    types: ['trace'],
  },
  'impl/iommufd': { may: ['impl/kernel', 'impl/dmabuf', 'impl/iommu', 'impl/vfio/pci-dmabuf.ts'], types: ['trace'] },
  impl: { may: ['impl'], types: ['trace'] },
  explore: { may: ['impl/kernel', 'trace'] },
  properties: { may: ['model', 'impl', 'explore', 'trace'] },
  uniprocessor: { may: [] },
  cli: { may: ['properties', 'model', 'impl', 'explore', 'trace', 'uniprocessor', 'bench'] },
  bench: { may: ['properties', 'model', 'impl', 'explore', 'trace'] },
  bin: { may: ['cli'] },
  test: { may: everything },
};

/** Imports against the arrows. */
export function forbiddenArrows({ path, imports }: Module): Finding[] {
  const folder = rowOf(path);
  const { may, types = [] } = arrows[folder] ?? { may: [] };
  return imports.flatMap(({ target, typeOnly, line }) => {
    const allowed = rowOf(target) === folder || may.some((place) => within(place, target));
    if (allowed) return [];
    if (!types.some((place) => within(place, target))) {
      return [{ path, line, what: `${folder || 'the root'} may not import ${target}` }];
    }
    return typeOnly ? [] : [{ path, line, what: `${folder} may import only types from ${target}: \`import type\`` }];
  });
}

/** Files that, through imports that remain at run time, import themselves. Each cycle is told once. */
export function importCycles(modules: readonly Module[]): Finding[] {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const done = new Set<string>();
  const findings: Finding[] = [];

  const visit = (module: Module, trail: readonly string[]) => {
    done.add(module.path);
    const here = [...trail, module.path];
    for (const { target, line } of module.imports.filter(({ typeOnly }) => !typeOnly)) {
      const next = byPath.get(target);
      if (here.includes(target)) {
        const cycle = [...here.slice(here.indexOf(target)), target];
        findings.push({ path: module.path, line, what: `import cycle: ${cycle.join(' → ')}` });
      } else if (next && !done.has(target)) {
        visit(next, here);
      }
    }
  };
  for (const module of modules) if (!done.has(module.path)) visit(module, []);
  return findings;
}

const within = (place: string, path: string): boolean => path === place || path.startsWith(`${place}/`);

/** The most exact row of the table that speaks of a file; empty when none does. */
function rowOf(path: string): string {
  const rows = Object.keys(arrows).filter((place) => within(place, path));
  return rows.reduce((longest, row) => (row.length > longest.length ? row : longest), '');
}
