import { setPriority } from 'node:os';
import { say } from './goal.ts';

/** What stands for other machines is not to wait for what is measured on this one. */
export function goFirst(pid: number): void {
  try {
    setPriority(pid, -10);
  } catch {
    say('not measured alone', 'as priorities may not be set, those who ask wait for those who answer');
  }
}
