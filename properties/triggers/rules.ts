/**
 * What must hold of devices and buffers between any two steps, whatever the steps were. Each rule is by its number
 * (vfio-dmabuf 11), and gives its counterexamples.
 */
import { answers, type Ghost, type GhostBuffer, type GhostDevice } from './ghost.ts';
import type { Buffer, TriggerScene } from './scene.ts';

export interface Rule {
  readonly numbers: string;
  readonly says: string;
  readonly breaches: (scene: TriggerScene, ghost: Ghost) => string[];
}

export const RULES: readonly Rule[] = [
  {
    numbers: 'V-08, V-15, V-21 to V-29',
    says: 'a buffer is revoked when the trigger table says so, and at no other time',
    breaches: (scene, ghost) =>
      eachBuffer(scene, ghost, ({ priv }, { revoked }) =>
        priv.revoked === revoked ? [] : [`is ${priv.revoked ? '' : 'not '}revoked`],
      ),
  },
  {
    numbers: 'V-08',
    says: 'without low power and failing writes, a buffer is revoked while its device does not answer',
    breaches: (scene, ghost) =>
      eachBuffer(scene, ghost, ({ priv }, { owner }) =>
        owner === undefined || !owner.simple || priv.revoked === !answers(owner)
          ? []
          : [`is ${priv.revoked ? '' : 'not '}revoked`],
      ),
  },
  {
    numbers: 'V-15, V-26, V-34',
    says: 'an importer is called once for each revoke and each un-revoke, and at no other time',
    breaches: (scene, ghost) =>
      eachBuffer(scene, ghost, ({ importers }, { calls }) =>
        importers.flatMap((importer, i) =>
          importer.calls === calls[i] ? [] : [`importer ${i} was called ${importer.calls} times, and not ${calls[i]}`],
        ),
      ),
  },
  {
    numbers: 'V-10, V-13, V-14',
    says: 'the token is 1 and one for each DMA map, and a revoked buffer has no map',
    breaches: (scene, ghost) =>
      eachBuffer(scene, ghost, ({ priv, importers }) => {
        const maps = importers.reduce((sum, { tables }) => sum + tables.length, 0);
        const wrong = [];
        if (priv.revoked && maps > 0) wrong.push(`is revoked with ${maps} maps`);
        if (priv.kref.count !== 1 + maps || priv.comp.ready()) {
          wrong.push(`has a token of ${priv.kref.count} and ${maps} maps`);
        }
        return wrong;
      }),
  },
  {
    numbers: 'V-11',
    says: 'when a revoke returns, every fence that was there is signaled',
    breaches: (scene, ghost) =>
      eachBuffer(scene, ghost, (buffer) =>
        buffer.priv.revocations > buffer.seen.revocations && buffer.seen.fences.some(({ signaled }) => !signaled)
          ? ['was revoked with a fence pending']
          : [],
      ),
  },
  {
    numbers: 'V-17',
    says: 'a buffer that has lost its device is revoked, on no list, and never has one again',
    breaches: (scene, ghost) =>
      eachBuffer(scene, ghost, ({ priv, seen }) => {
        const listed = scene.devices.filter(({ dmabufs }) => dmabufs.includes(priv));
        if (priv.vdev !== undefined) {
          const alone = listed.length === 1 && listed[0] === priv.vdev;
          return [
            ...(alone ? [] : ['is not on the list of its device']),
            ...(seen.orphan ? ['has a device again'] : []),
          ];
        }
        return [
          ...(priv.revoked ? [] : ['is usable without a device']),
          ...(listed.length > 0 ? ['is on a list'] : []),
        ];
      }),
  },
  {
    numbers: 'V-18, V-20',
    says: 'a device counts one registration for its driver, for its file, and for each of its buffers',
    breaches: (scene) =>
      scene.devices.flatMap(({ name, registration, dmabufs, file }) => {
        const wanted = 1 + (file === undefined ? 0 : 1) + dmabufs.length;
        return registration.count === wanted ? [] : [`${name} counts ${registration.count}, and not ${wanted}`];
      }),
  },
  {
    numbers: 'V-24, V-27, V-47',
    says: 'the CPU has an entry for a BAR from the touch that made it to the next zap, and none while it must not',
    breaches: (scene, ghost) =>
      eachDevice(scene, ghost, (device, wanted) => {
        const vma = scene.mappings.get(device);
        const entry = vma !== undefined && scene.mm.pageTable.leaves(vma.startPage, vma.lastPage).length > 0;
        const allowed = wanted.ctx !== undefined && answers(wanted) && !wanted.engaged;
        if (entry && !allowed) return ['does not answer, and the CPU reaches it'];
        return entry === wanted.entry ? [] : [`${entry ? 'has an' : 'has no'} entry`];
      }),
  },
  {
    numbers: 'V-23, V-25, V-29',
    says: 'power, memory bit and low power are what the steps have made of them',
    breaches: (scene, ghost) =>
      eachDevice(scene, ghost, ({ power, engaged, vconfig, openCount }, wanted) => {
        const memory = vconfig !== undefined && (vconfig.command & 2) !== 0;
        const is = [power, engaged, vconfig !== undefined && memory, openCount > 0].join(' ');
        const must = [
          wanted.power,
          wanted.engaged,
          wanted.ctx !== undefined && wanted.memory,
          wanted.ctx !== undefined,
        ];
        return is === must.join(' ') ? [] : [`is ${is}, and not ${must.join(' ')} (power, engaged, memory, open)`];
      }),
  },
  {
    numbers: 'V-30, V-49',
    says: 'nobody holds a lock between two calls',
    breaches: (scene) => [
      ...scene.devices
        .filter(({ memoryLock, devSet }) => memoryLock.locked || devSet.lock.locked)
        .map(({ name }) => `${name} is left locked`),
      ...scene.buffers
        .filter(({ priv }) => priv.dmabuf.resv.locked)
        .map(({ priv }) => `${priv.dmabuf.name} is left locked`),
    ],
  },
];

/** All that is wrong, each with its rule. */
export const brokenRules = (scene: TriggerScene, ghost: Ghost): string[] =>
  RULES.flatMap(({ numbers, says, breaches }) =>
    breaches(scene, ghost).map((breach) => `${numbers}: ${says}: ${breach}`),
  );

function eachBuffer(
  { buffers }: TriggerScene,
  ghost: Ghost,
  wrong: (buffer: Buffer, ghost: GhostBuffer) => string[],
): string[] {
  return buffers.flatMap((buffer, i) =>
    buffer.closed ? [] : wrong(buffer, ghost.buffers[i] as GhostBuffer).map((what) => `buffer ${i} ${what}`),
  );
}

function eachDevice(
  { devices }: TriggerScene,
  ghost: Ghost,
  wrong: (device: TriggerScene['devices'][number], ghost: GhostDevice) => string[],
): string[] {
  return devices.flatMap((device, i) =>
    wrong(device, ghost.devices[i] as GhostDevice).map((what) => `${device.name} ${what}`),
  );
}

/** What the rules about a change compare with, next time. */
export function remember({ buffers }: TriggerScene): void {
  for (const buffer of buffers) {
    const { priv, fences } = buffer;
    buffer.seen = { revocations: priv.revocations, fences: [...fences], orphan: priv.vdev === undefined };
  }
}
