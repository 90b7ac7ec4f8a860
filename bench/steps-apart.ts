/** One of those that take steps, in a process of its own: `node bench/steps-apart.ts NAME`, by `apart.ts`. */
import { compete } from './apart.ts';
import { ROWS } from './steps-rows.ts';

const row = ROWS.find(({ name }) => name === process.argv[2]);
let seed = 1;
if (row !== undefined) compete(() => row.take(seed++));
