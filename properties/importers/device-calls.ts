/** The calls on a device, in the implementation and in the oracle. */
import { operation } from '../../impl/execute.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import {
  vfioConfigFlr,
  vfioConfigMemory,
  vfioConfigPower,
  vfioDeviceReset,
  vfioHotReset,
  vfioLowPowerEntry,
  vfioLowPowerExit,
} from '../../impl/vfio/ioctl.ts';
import { wake } from '../../impl/vfio/power.ts';
import { surpriseRemoval } from '../../impl/vfio/removal.ts';
import type { Command } from '../../trace/command.ts';
import type { Steps } from './actors.ts';
import type { OracleDevice } from './devices.ts';
import { done, type Scene } from './scene.ts';
import type { Step } from './steps.ts';

/** What makes the call here, and there. */
export type Call = readonly [Thread<string>, Steps<string>];

export function* command({ machine }: Scene, it: Command): Thread<string> {
  const result = yield* operation(machine, it);
  return 'err' in result ? result.err : 'ok';
}

export function* said(thread: Thread<Errno | undefined>): Thread<string> {
  return (yield* thread) ?? 'ok';
}

type DeviceStep = Extract<
  Step,
  {
    do:
      | 'memory'
      | 'power'
      | 'low power entry'
      | 'reset'
      | 'FLR'
      | 'low power exit'
      | 'wake'
      | 'hot reset'
      | 'device close'
      | 'device open'
      | 'removal';
  }
>;

export function ofDevice(scene: Scene, step: DeviceStep): Call {
  const { dev } = step;
  const [it, device] = [scene.oracleDevice(dev), scene.device(dev)];
  const call = (thread: Thread<Errno | undefined>, steps: Steps<string>): Call => [said(thread), it.through(steps)];
  switch (step.do) {
    case 'memory':
      return call(vfioConfigMemory(device, step.on), it.writeMemory(step.on));
    case 'power':
      return call(vfioConfigPower(device, step.state), it.setPower(step.state));
    case 'low power entry':
      return call(vfioLowPowerEntry(device, step.wakeup), it.lowPowerEntry(step.wakeup));
    case 'low power exit':
      return call(vfioLowPowerExit(device), it.lowPowerExit());
    case 'reset':
      return call(vfioDeviceReset(device), it.reset());
    case 'FLR':
      return call(vfioConfigFlr(device), it.flr());
    case 'hot reset':
      return call(vfioHotReset(device), it.hotReset());
    case 'removal':
      return [done(surpriseRemoval(device)), it.removal()];
    case 'wake':
      return [said(wake(device)), it.wake()];
    case 'device close':
      return [command(scene, { do: 'vfio_close', dev }), it.closeFd()];
    case 'device open':
      return [open(scene, it), it.open()];
  }
}

function* open(scene: Scene, { name: dev }: OracleDevice): Thread<string> {
  const opened = yield* command(scene, { do: 'vfio_open', dev });
  if (opened !== 'ok') return opened;
  const bound = yield* command(scene, { do: 'vfio_bind', dev, ctx: 'ctx' });
  if (bound !== 'ok') yield* command(scene, { do: 'vfio_close', dev });
  return bound;
}
