/** Every fault point of what is set on an IOAS. Source: iommufd 5, I-48 */
import { test } from 'vitest';
import { type Case, expectUntouched } from './fault-sweep.ts';

const CASES: readonly Case[] = [
  {
    name: 'ALLOW_IOVAS of two ranges',
    command: {
      do: 'ioas_allow_iovas',
      ioas: 'ioas',
      ranges: [
        [0x1000n, 0x1fffn],
        [0x3000n, 0x3fffn],
      ],
    },
    sites: ['copy_from_user', 'iommufd_ioas_load_iovas'],
  },
];

test.each(CASES.map((each) => [each.name, each] as const))(
  '%s: at every fault point, leaves all as it was, and then succeeds',
  (_, each) => expectUntouched(each),
);
