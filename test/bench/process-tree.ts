/** What a process and all that it started take, as Linux counts it. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Taken {
  readonly cpuSeconds: number;
  /** Resident, summed: what processes share counts in each of them. */
  readonly mib: number;
}

/** Linux counts CPU time in hundredths of a second, on every machine of today. */
const TICKS = 100;

export function takenBy(root: number): Taken {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => read(Number(name)) ?? []);
  const tree = new Set([root]);
  for (let before = 0; before !== tree.size; ) {
    before = tree.size;
    for (const { pid, parent } of all) if (tree.has(parent)) tree.add(pid);
  }
  const of = all.filter(({ pid }) => tree.has(pid));
  return {
    cpuSeconds: of.reduce((sum, { ticks }) => sum + ticks, 0) / TICKS,
    mib: of.reduce((sum, { kib }) => sum + kib, 0) / 1_024,
  };
}

/** Resident memory of one process alone, MiB; 0: there is none. */
export const mibOf = (pid: number) => (read(pid)?.kib ?? 0) / 1_024;

/** null: it has just ended */
function read(pid: number) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // After the name, which may hold anything: state, parent, …, and the 12th and 13th are time in user and in system mode.
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return {
      pid,
      parent: fields[1] ?? 0,
      ticks: (fields[11] ?? 0) + (fields[12] ?? 0),
      kib: Number(resident?.[1] ?? 0),
    };
  } catch {
    return null;
  }
}
