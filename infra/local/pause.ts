/** Stops a process with all that it started where it is, and lets it go on: as a stuck disk, a suspended machine or a full one does. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export function pauseTree(root: number): void {
  send(root, 'SIGSTOP');
}

export function resumeTree(root: number): void {
  send(root, 'SIGCONT');
}

/** The root first: it starts nothing more then. */
function send(root: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
  process.kill(root, signal);
  for (const pid of descendants(root)) {
    try {
      process.kill(pid, signal);
    } catch {
      // it has just ended
    }
  }
}

/** What a process started, and what that started. */
export function descendants(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const [pid, parent] of parents()) children.set(parent, [...(children.get(parent) ?? []), pid]);
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found.slice(1);
}

/** [process, its parent], of all there are */
function parents(): [number, number][] {
  if (process.platform !== 'linux') {
    const list = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
    return list
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name): [number, number][] => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        // After the name, which may hold anything: state, parent, …
        return [[Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])]];
      } catch {
        return []; // it has just ended
      }
    });
}
