/** How long the whole test suite takes, and how much memory it has at the most, all its processes together. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mebibytes, printTable } from './table.ts';

const MILLISECONDS = 50;

export async function startup(): Promise<void> {
  const start = performance.now();
  const child = spawn('npm', ['test'], { stdio: 'ignore' });
  let peak = 0;
  const sampling = setInterval(() => {
    peak = Math.max(peak, residentBytes(child.pid ?? -1));
  }, MILLISECONDS);
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearInterval(sampling);
  const seconds = (performance.now() - start) / 1000;
  printTable(
    ['npm test', 'wall time', 'peak memory', 'exit code'],
    [['', `${seconds.toFixed(1)} s`, mebibytes(peak), String(status)]],
  );
  console.log(`Resident memory of the process and its descendants, sampled every ${MILLISECONDS} ms; Linux only.\n`);
}

/** Resident memory of a process and everything below it; 0 where there is no /proc. */
function residentBytes(root: number): number {
  const ours = new Set([root]);
  let bytes = 0;
  for (const { pid, parent, resident } of processes()) {
    if (pid !== root && !ours.has(parent)) continue;
    ours.add(pid);
    bytes += resident;
  }
  return bytes;
}

/** In the order of their numbers, in which a child nearly always follows its parent. */
function processes(): { pid: number; parent: number; resident: number }[] {
  const numbers = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return numbers
    .map(Number)
    .sort((a, b) => a - b)
    .flatMap((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        const parent = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1]);
        const resident = Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1] ?? 0) * 1024;
        return [{ pid, parent, resident }];
      } catch {
        return []; // It has ended meanwhile.
      }
    });
}
