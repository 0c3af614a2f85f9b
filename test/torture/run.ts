/** One run: the stage is set, the plan is done, all becomes quiet, and the reader looks. */
import { cp, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchBot } from './downtime.ts';
import type { Ground } from './ground.ts';
import type { Plan } from './plan.ts';
import { readFiles } from './reader/files.ts';
import { type Asked, orphans, read, stuck } from './reader/reader.ts';
import { readRows } from './reader/rows.ts';
import { type Stage, setStage } from './stage.ts';
import { boundOf, table } from './table.ts';
import { makeTrouble } from './trouble.ts';
import { startTyping } from './typing.ts';

const SHARDS = 2;
/** How long all may take to come to rest: as long as what waits is drawn, at most. ms */
const QUIET_WITHIN_MS = 6 * 60_000;
/** The program's own search for files without rows, once it begins. */
const FOUND_WITHIN_MS = 60_000;

const say = (line: string) => process.stdout.write(`${line}\n`);

/** @returns whether nothing was found that should not be */
export async function run(plan: Plan, root: string, ground: Ground): Promise<boolean> {
  const { seed, minutes, backend, typed, faults } = plan;
  const what = `seed ${seed}, ${minutes} minutes on ${backend}`;
  say(`${what}: ${typed.length} deeds, ${faults.length} faults`);
  const stage = await setStage(root, ground);
  try {
    const downtime = watchBot(stage, SHARDS);
    const typing = await startTyping(stage, downtime, typed);
    const trouble = makeTrouble(stage, faults, say);
    await sleep(minutes * 60_000);
    say('Putting everything right again …');
    await trouble.end();
    await typing.end();
    await becomeQuiet(stage);
    await letAnHourPass(stage);
    downtime.end();

    const { text, isGood } = table(await read({ ...stage, asked: typing.asked }), boundOf(minutes));
    say(`\n${what}; the bot was down for ${downtime.seconds.toFixed(0)} s\n\n${text}`);
    if (!isGood) say(`\nLogs, and what was answered to whom: ${await keep(stage, plan, typing.asked)}/`);
    return isGood;
  } finally {
    await stage.close();
  }
}

/** Until nothing waits and nothing is being done. What does so for too long is stuck, which the reader says. */
async function becomeQuiet({ databaseUrl }: Stage): Promise<void> {
  const startedAt = Date.now();
  let toldAt = startedAt;
  for (let quiet = 0; quiet < 2 && Date.now() - startedAt < QUIET_WITHIN_MS; await sleep(2_000)) {
    const left = stuck(await readRows(databaseUrl)).length;
    quiet = left ? 0 : quiet + 1;
    if (!left || Date.now() - toldAt < 20_000) continue;
    toldAt = Date.now();
    say(`${left} things are under way still`);
  }
}

/**
 * A process that is killed between bytes and row leaves a file, which the program removes after an hour. That hour is made to have
 * passed, and workers that have just started look through all files.
 */
async function letAnHourPass(stage: Stage): Promise<void> {
  const { filesDir, databaseUrl } = stage;
  const before = new Date(Date.now() - 2 * 3_600_000);
  for (const key of (await readFiles(filesDir)).keys())
    await utimes(join(filesDir, key), before, before).catch(() => {}); // it was removed just now
  await Promise.all(
    (['worker-1', 'worker-2'] as const).map(async (name) => {
      await stage.service(name).stop();
      await stage.service(name).start();
    }),
  );
  const deadline = Date.now() + FOUND_WITHIN_MS;
  while (Date.now() < deadline) {
    if (!orphans(await readRows(databaseUrl), await readFiles(filesDir)).length) return;
    await sleep(1_000);
  }
}

/** @returns a folder */
async function keep({ logDir }: Stage, { backend, seed }: Plan, asked: readonly Asked[]): Promise<string> {
  const folder = `.atelier/torture/${backend}-${seed}`;
  await rm(folder, { recursive: true, force: true });
  await cp(logDir, folder, { recursive: true });
  await writeFile(join(folder, 'asked.json'), JSON.stringify(asked, null, 1));
  return folder;
}
