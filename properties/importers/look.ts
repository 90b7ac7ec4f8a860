/**
 * What can be seen when everybody has come as far as he can: who waits, for what and for whom; who was called back;
 * what each buffer counts; and what a device reaches by DMA.
 */
import { blame } from '../../explore/blame.ts';
import { reachOf } from '../observe.ts';
import { type Buffer, tokenOf } from './oracle.ts';
import { EXPORTERS, type Scene, VICTIM } from './scene.ts';

/** All that is wrong, a line each. */
export function wrongAfter(scene: Scene): string[] {
  const { oracle, threads, callbacks } = scene;
  return [
    ...scene.wrong,
    ...difference('who waits', blame(threads.waiting), oracle.blame()),
    ...difference('who is called back', callbacks, oracle.callbacks),
    ...oracle.buffers.flatMap((buffer) => wrongBuffer(scene, buffer)),
    ...EXPORTERS.flatMap((name) => wrongDevice(scene, name)),
    ...wrongReach(scene),
    ...wrongDma(scene),
  ];
}

/** Both lists without what they begin with together. */
export function difference(what: string, got: readonly string[], expected: readonly string[]): string[] {
  let same = 0;
  while (same < got.length && got[same] === expected[same]) same++;
  if (same === got.length && same === expected.length) return [];
  const rest = (all: readonly string[]): string[] => all.slice(same).map((line) => `    ${line}`);
  const shown = (all: readonly string[]): string[] => (all.length > same ? rest(all) : ['    nobody']);
  return [`${what}:`, ...shown(got), 'by the documents:', ...shown(expected)];
}

/** V-09, V-13, V-14, and who is attached, the newest first. */
function wrongBuffer({ buffers }: Scene, expected: Buffer): string[] {
  const { name, revoked, files, resv, attached } = expected;
  if (files === 0) return [];
  const got = buffers.get(name);
  if (got === undefined) return [`${name} is not there`];
  const { dmabuf, kref } = got;
  const names = attached.map((party) => (party.kind === 'iommufd' ? party.kind : party.name)).join(', ');
  return [
    ...differs(`${name} is revoked`, got.revoked, revoked),
    ...differs(`${name} is revoked for good`, got.status === 'PERM_REVOKED', expected.forGood),
    ...differs(`the drain token of ${name}`, kref.count, tokenOf(expected)),
    ...differs(`${name} is drained`, got.comp.ready(), false),
    ...differs(`references of ${name}`, dmabuf.file.refs.count, files),
    ...differs(`${resv.name} is held`, dmabuf.resv.locked, resv.holder !== undefined),
    ...differs(`importers of ${name}`, dmabuf.attachments.map(({ dev }) => dev.name).join(', '), names),
    ...differs(`${name} has its device`, got.vdev !== undefined, expected.dev !== undefined),
  ];
}

/**
 * The list is in the order of the exports. V-18: when nobody waits, its length is in the count of registrations, and no
 * call keeps the device awake.
 */
function wrongDevice(scene: Scene, name: string): string[] {
  const { dmabufs, memoryLock, registration, power, pmUsage } = scene.device(name);
  const oracle = scene.oracleDevice(name);
  const { buffers, files, removed, memoryLock: expected } = oracle;
  const listed = dmabufs.map(({ dmabuf }) => dmabuf.name).join(', ');
  const resting = scene.threads.waiting.length === 0;
  return [
    ...differs(`buffers of ${name}`, listed, buffers.map((buffer) => buffer.name).join(', ')),
    ...differs(`${name}.memory_lock is held`, memoryLock.locked, expected.holder !== undefined),
    ...(memoryLock.locked ? [] : differs(`the power state of ${name}`, power, oracle.power)),
    ...(resting ? differs(`who keeps ${name} awake`, pmUsage, oracle.users) : []),
    ...(resting
      ? differs(`registrations of ${name}`, registration.count, (removed ? 0 : 1) + files + buffers.length)
      : []),
  ];
}

/** V-39: every area that is live is reached, and nothing else. */
function wrongReach({ machine, oracle }: Scene): string[] {
  const got = reachOf(machine, VICTIM).map(([iova, target]) => `0x${iova.toString(16)} → ${target}`);
  const live = oracle.parties.filter((party) => party.live).length;
  return live === got.length ? [] : [`${VICTIM} reaches ${got.length} areas, not ${live}:`, ...got];
}

/** V-10, V-43: an importer's device reaches a buffer while it is mapped, and nothing afterwards. */
function wrongDma({ dma, oracle }: Scene): string[] {
  const mapped = new Set(oracle.parties.filter(({ maps }) => maps > 0).map(({ name }) => name));
  return [...dma].flatMap(([name, { live }]) =>
    differs(`the device of ${name} reaches the buffer`, live.lines.length > 0, mapped.has(name)),
  );
}

function differs<T>(what: string, got: T, expected: T): string[] {
  return got === expected ? [] : [`${what}: ${got}, and by the documents ${expected}`];
}
