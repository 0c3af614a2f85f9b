/** When the bot itself was down: not connected to Discord with all its shards, suspended, or on its way out. */
import { readFileSync } from 'node:fs';
import type { Stage } from './stage.ts';

const LOOK_EVERY_MS = 50;
/** A shard that has just come back is still told what it missed. ms */
const AFTER_MS = 2_000;

export interface Downtime {
  within(fromMs: number, toMs: number): boolean;
  /** seconds in all */
  readonly seconds: number;
  end(): void;
}

export function watchBot(stage: Stage, shards: number): Downtime {
  const times: number[] = [];
  const timer = setInterval(() => {
    if (!isUp(stage, shards)) times.push(Date.now());
  }, LOOK_EVERY_MS);
  return {
    within: (from, to) => times.some((time) => time >= from - AFTER_MS && time <= to),
    get seconds() {
      return (times.length * LOOK_EVERY_MS) / 1_000;
    },
    end: () => clearInterval(timer),
  };
}

function isUp({ sandbox, pidOf, isBotReady }: Stage, shards: number): boolean {
  if (new Set(sandbox.connectedShards).size < shards || !isBotReady()) return false;
  return (['bot', 'shards'] as const).every((target) => !isSuspended(pidOf(target) ?? 0));
}

function isSuspended(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
  } catch {
    return false;
  }
}
