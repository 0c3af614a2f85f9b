/**
 * What choosing the next turn costs, and telling somebody's place: with a thousand, ten thousand and a hundred thousand pictures that
 * wait, after a million that are done. A database each on one Postgres, asked in turns, so that whatever else the machine does meets
 * all of them alike.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { childEnv } from '#config/env.ts';
import { ownPostgres } from '#test/support/own.ts';
import { type Goal, median, say } from './goal.ts';
import type { Taken } from './order-measured.ts';

const MEASURED = fileURLToPath(new URL('./order-measured.ts', import.meta.url));
const HISTORY = 1_000_000;
/** Of the same people each. */
const SIZES = [1_000, 10_000, 100_000];
/** Calls of each kind, after as many for warming up as Postgres needs to keep a plan. */
const CALLS = 150;
const WARMING = 10;

export async function order(): Promise<readonly Goal[]> {
  const postgres = await ownPostgres();
  const children: ChildProcess[] = [];
  const open = async (url: string, what: 'done' | 'queued', count: number) => {
    const child = fork(MEASURED, [what, String(count)], {
      env: childEnv({ DATABASE_URL: url, REDIS_URL: '', LOG_LEVEL: 'error' }),
    });
    children.push(child);
    await answerOf(child);
    return child;
  };
  try {
    await close(await open(postgres.url, 'done', HISTORY));
    say('done before', HISTORY.toLocaleString('en'));
    const measured: { size: number; child: ChildProcess; taken: Taken[] }[] = [];
    for (const size of SIZES)
      measured.push({
        size,
        child: await open(await copyOf(postgres.url, `of_${size}`), 'queued', size),
        taken: [],
      });

    for (let call = -WARMING; call < CALLS; call++) {
      for (const { child, taken } of measured) {
        child.send('go');
        const one = await answerOf(child);
        if (call >= 0) taken.push(one);
      }
    }
    const medians = measured.map(({ size, taken }) => {
      const of = (kind: keyof Taken) => median(taken.map((one) => one[kind]));
      const one = { choosing: of('choosing'), taking: of('taking'), place: of('place') };
      say(
        `${size.toLocaleString('en')} waiting`,
        `choosing ${one.choosing.toFixed(2)} ms, taking ${one.taking.toFixed(2)} ms, place and wait ${one.place.toFixed(2)} ms`,
      );
      return one;
    });
    const growth = (kind: keyof Taken) =>
      Math.max(...medians.map((one) => one[kind])) / (medians[0]?.[kind] ?? 0);
    return [
      { name: 'choosing, 100 times as much', got: growth('choosing'), atMost: 1.2 },
      { name: 'taking, 100 times as much', got: growth('taking'), atMost: 1.2 },
      { name: 'place, 100 times as much', got: growth('place'), atMost: 1.2 },
    ];
  } finally {
    await Promise.all(children.map(close));
    await postgres.close();
  }
}

async function answerOf(child: ChildProcess): Promise<Taken> {
  const listening = new AbortController();
  const { signal } = listening;
  try {
    const ended = once(child, 'exit', { signal }).then(() =>
      Promise.reject(new Error('a measured process ended')),
    );
    const [answer] = (await Promise.race([once(child, 'message', { signal }), ended])) as [Taken];
    return answer;
  } finally {
    listening.abort();
  }
}

async function close(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.disconnect();
  await once(child, 'exit');
}

/** Another database with the same rows. */
async function copyOf(url: string, name: string): Promise<string> {
  const copy = new URL(url);
  const from = copy.pathname.slice(1);
  copy.pathname = 'postgres';
  const client = new pg.Client({ connectionString: copy.href });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE "${name}" TEMPLATE "${from}"`);
  } finally {
    await client.end();
  }
  copy.pathname = name;
  return copy.href;
}
