/** The heap without its garbage, on a node that was not started for it. */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What collects all garbage there is. Twice, because what finalizers let go of is only collected the next time. */
export function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  return () => {
    collect();
    collect();
  };
}

/** What lies on the heap: objects, and what the engine compiled, which comes and goes with what happens to be hot. */
export function heapUsed(): { readonly objects: number; readonly code: number } {
  let objects = 0;
  let code = 0;
  for (const { space_name: name, space_used_size: bytes } of getHeapSpaceStatistics()) {
    if (/code|trusted/.test(name)) code += bytes;
    else if (name !== 'read_only_space') objects += bytes;
  }
  return { objects, code };
}
