/** What a run of sweeps has made fail: command by site. */
import { RULES } from './rules.ts';

export class FaultCoverage {
  /** How often each site failed in each command, by `ioas_map batch_init`. */
  readonly pairs = new Map<string, number>();
  /** Commands that a second fault met, after the first. */
  readonly twice = new Set<string>();
  sweeps = 0;
  faults = 0;

  see(command: string, site: string, twice: boolean): void {
    this.faults++;
    if (twice) this.twice.add(command);
    const key = `${command} ${site}`;
    this.pairs.set(key, (this.pairs.get(key) ?? 0) + 1);
  }

  /** Sites that no sweep has met. */
  get unmet(): string[] {
    const met = new Set([...this.pairs.keys()].map((key) => key.split(' ')[1]));
    return Object.keys(RULES).filter((site) => !met.has(site));
  }

  /** Site by site, the commands in which it failed, and how often. */
  get table(): string[] {
    const bySite = new Map<string, string[]>();
    for (const [key, count] of this.pairs) {
      const [command, site] = key.split(' ') as [string, string];
      bySite.set(site, [...(bySite.get(site) ?? []), `${command} ${count}`]);
    }
    const sites = [...bySite.keys()].toSorted();
    const width = Math.max(0, ...sites.map((site) => site.length));
    return sites.map((site) => `${site.padEnd(width)}  ${(bySite.get(site) as string[]).toSorted().join(', ')}`);
  }
}
