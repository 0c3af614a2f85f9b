/** Does to a stage what the plan says, and puts everything right again in the end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { pauseTree, resumeTree } from '#infra/local/pause.ts';
import type { Outside } from './ground.ts';
import type { Fault, Happening, Target } from './plan.ts';
import type { Stage } from './stage.ts';

/** Discord as it is when nothing is wrong. */
const USUAL = {
  answerAfterMs: 0,
  deliverAfterMs: 0,
  deliverTwice: 0,
  serverError: null,
  rateLimit: null,
  wall: null,
  refuseToken: null,
  slowUpload: null,
  fileMax: 0,
} as const;

export interface Trouble {
  /** what was done, as `12.3 s  kill worker-1` */
  readonly done: readonly string[];
  /** Resolves when everything runs again. */
  end(): Promise<void>;
}

export function makeTrouble(
  stage: Stage,
  faults: readonly Happening[],
  say: (line: string) => void,
): Trouble {
  const startedAt = Date.now();
  const ending = new AbortController();
  const paused = new Map<Target | 'postgres' | 'redis', number>();
  const done: string[] = [];
  const note = (what: string) => {
    const line = `${((Date.now() - startedAt) / 1_000).toFixed(1)} s  ${what}`;
    done.push(line);
    say(line);
  };
  const wait = (ms: number) => sleep(ms, undefined, { signal: ending.signal }).catch(() => {});

  async function pauseFor(ms: number, target: Target | 'postgres' | 'redis', pid: number | undefined) {
    if (!pid) return;
    pauseTree(pid);
    paused.set(target, pid);
    await wait(ms);
    paused.delete(target);
    resume(pid);
  }

  async function away(outside: Outside, ms: number, how?: 'fast' | 'immediate'): Promise<void> {
    await outside.stop(how);
    await wait(ms);
    await outside.start();
  }

  async function perform(fault: Fault): Promise<void> {
    const outside = (name: 'postgres' | 'redis') => stage[name] ?? stage.postgres;
    switch (fault.kind) {
      case 'kill':
      case 'term': {
        const was = stage.signal(fault.target, fault.kind === 'kill' ? 'SIGKILL' : 'SIGTERM');
        return note(`${fault.kind} ${fault.target}${was ? '' : ', which is not there just now'}`);
      }
      case 'pause':
        note(`pause ${fault.target} for ${fault.ms} ms`);
        return pauseFor(fault.ms, fault.target, stage.pidOf(fault.target));
      case 'flush redis':
        note('flush redis');
        return flush();
      case 'stop':
        note(`stop ${fault.target} for ${fault.ms} ms`);
        return away(outside(fault.target), fault.ms);
      case 'stop at once':
        note(`stop ${fault.target} at once for ${fault.ms} ms`);
        return away(stage.postgres, fault.ms, 'immediate');
      case 'hang':
        note(`hang ${fault.target} for ${fault.ms} ms`);
        return pauseFor(fault.ms, fault.target, outside(fault.target).pid());
      case 'discord':
        note(`discord: ${JSON.stringify(fault.how)}`);
        stage.sandbox.misbehave(fault.how);
        await wait(fault.endsMs);
        stage.sandbox.misbehave(USUAL);
    }
  }

  const all = faults.map(async ({ atMs, fault }) => {
    await wait(atMs - (Date.now() - startedAt));
    if (ending.signal.aborted) return;
    await perform(fault).catch((error: unknown) => note(`${fault.kind} did not work: ${String(error)}`));
  });

  return {
    done,
    async end() {
      ending.abort();
      await Promise.all(all);
      for (const pid of paused.values()) resume(pid);
      await stage.postgres.start();
      await stage.redis?.start();
      stage.sandbox.misbehave(USUAL);
    },
  };
}

/** It may have been killed meanwhile. */
function resume(pid: number): void {
  try {
    resumeTree(pid);
  } catch {}
}

async function flush(): Promise<void> {
  const redis = new Redis(process.env.REDIS_URL ?? '', { retryStrategy: () => null, commandTimeout: 2_000 });
  redis.on('error', () => {});
  await redis.flushall().catch(() => {});
  redis.disconnect();
}
