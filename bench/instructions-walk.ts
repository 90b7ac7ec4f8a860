/** `node bench/instructions-walk.ts WARMING_UP BATCHES`: the walk of the stated mix, for `instructions.ts` to count. */
import { once } from 'node:events';
import { STATED_MIX } from './mix.ts';
import { runWalk } from './steps-rows.ts';

const [warmingUp = 0, batches = 0] = process.argv.slice(2).map(Number);
for (let seed = 1; seed <= warmingUp; seed++) runWalk(seed, STATED_MIX);
console.log('warm');
await once(process.stdin, 'data');
let steps = 0;
for (let seed = 1; seed <= batches; seed++) steps += runWalk(warmingUp + seed, STATED_MIX);
console.log(steps);
process.exit();
