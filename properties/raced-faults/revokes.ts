/** What takes memory back while a call fails: each kind by its name, and whom it may be about in a state. */
import type { State } from '../../model/spec.ts';
import type { Command } from '../../trace/command.ts';
import { boundDevices, pick, sources } from '../view.ts';

export interface Revoke {
  readonly command: Command;
  /**
   * Commands of which the model knows what they do, and that together come to the same as the revoke half-way: when it
   * has taken all back, and not given it again. Empty where to others the whole is one step.
   */
  readonly takes: readonly Command[];
}

/** Of a command that takes memory back. */
export const revokeOf = (command: Command): Revoke => ({ command, takes: takesOf(command) });

function takesOf(command: Command): readonly Command[] {
  switch (command.do) {
    // Low power that has ended at once leaves what was taken back, and the device awake.
    case 'vfio_reset':
    case 'vfio_flr':
      return [
        { do: 'vfio_low_power_entry', dev: command.dev, wakeup: true },
        { do: 'vfio_wake', dev: command.dev },
      ];
    // The device leaves its domain after the revoke. A map that has asked the exporter before may look for its place
    // after: the buffer is mapped, and then revoked, but where it goes is no concern of the domain any more.
    case 'vfio_close':
      return [{ do: 'vfio_detach', dev: command.dev }];
    default:
      return [];
  }
}

type About = (state: State, which: number) => Revoke | undefined;

/** Of a device that is bound, so that it answers. */
const taking =
  (command: Command): About =>
  (state, which) => {
    const device = pick(boundDevices(state), which);
    return device && revokeOf({ ...command, dev: device.name } as Command);
  };

/** A buffer of a device, or of the test exporter, that has not been taken back for itself. */
const ofBuffer = (
  state: State,
  which: number,
  test: boolean,
): { name: string; dev: string | undefined } | undefined => {
  const usable = sources(state, 'dmabuf').filter(
    ({ source }) => (source.owner === undefined) === test && !state.takenBack.includes(source),
  );
  const found = pick(usable, which);
  return found && { name: found.name, dev: found.source.owner?.device };
};

const mockRevoke: About = (state, which) => {
  const buffer = ofBuffer(state, which, true);
  return buffer && revokeOf({ do: 'mock_revoke', fd: buffer.name, revoked: true });
};

const forGood: About = (state, which) => {
  const buffer = state.machine.mapsBuffers ? ofBuffer(state, which, false) : undefined;
  if (buffer?.dev === undefined) return undefined;
  return revokeOf({ do: 'vfio_dmabuf_revoke', dev: buffer.dev, fd: buffer.name });
};

/** By name; undefined where the state has nothing for it. Source: vfio-dmabuf 2.8, 6.7; iommufd 7.5 */
export const REVOKES = {
  memory: taking({ do: 'vfio_memory', dev: '', enable: false }),
  power: taking({ do: 'vfio_power', dev: '', state: 3 }),
  'low power': taking({ do: 'vfio_low_power_entry', dev: '' }),
  reset: taking({ do: 'vfio_reset', dev: '' }),
  FLR: taking({ do: 'vfio_flr', dev: '' }),
  close: taking({ do: 'vfio_close', dev: '' }),
  'test exporter': mockRevoke,
  'for good': forGood,
} satisfies Readonly<Record<string, About>>;

export type RevokeName = keyof typeof REVOKES;
export const REVOKE_NAMES = Object.keys(REVOKES) as readonly RevokeName[];
