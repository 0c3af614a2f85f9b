/**
 * `npm run rules -- replay [--last N] [--file FILE]`: what the rules of a file (config/safety.next.yaml unless given) would have said of
 * the last N pictures and their prompts, 100,000 unless given, and whether people who decided on them agree. Changes nothing.
 */
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { readSafety } from '#config/safety.ts';
import { closeDb } from '#src/doors/db.ts';
import { messageOf } from '#src/doors/log.ts';
import { sayShare } from '#src/intervals.ts';
import {
  type Changed,
  type PictureReplay,
  type Replay,
  replay,
  replayPictures,
} from '#src/moderation/replay.ts';
import { ruleSetOf } from '#src/moderation/rule-set.ts';
import { print } from './local/print.ts';

const USAGE = `Usage: npm run rules -- replay [--last N] [--file FILE]
  --last N     generations, the newest; 100,000 unless given
  --file FILE  rules; config/safety.next.yaml unless given`;

/** As lines. */
function sayReplay({ prompts, refused, share }: Replay, { pictures, held, letThrough }: PictureReplay) {
  const lines = (changed: readonly Changed[]) =>
    changed.map(
      ({ rule, count, rejected }) =>
        `  ${rule}: ${count.toLocaleString('en')}; of those that people decided on, rejected: ${sayShare(rejected)}`,
    );
  return [
    `${prompts.toLocaleString('en')} prompts; they would have refused ${sayShare(share)}`,
    ...lines(refused),
    `${pictures.toLocaleString('en')} pictures; they would have held more`,
    ...lines(held),
    'and let through',
    ...lines(letThrough),
  ];
}

if (import.meta.main) {
  const last = { type: 'string', default: '100000' } as const;
  const file = { type: 'string', default: 'config/safety.next.yaml' } as const;
  try {
    const { positionals, values } = parseArgs({ allowPositionals: true, options: { last, file } });
    const count = Number(values.last);
    if (positionals.join() !== 'replay' || !Number.isInteger(count) || count < 1) throw new Error(USAGE);
    const next = ruleSetOf(readSafety(pathToFileURL(resolve(values.file))), basename(values.file));
    const startedAt = performance.now();
    const [prompts, pictures] = [await replay(next, count), await replayPictures(next.file.scores, count)];
    for (const line of sayReplay(prompts, pictures)) print(line);
    print(`${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 1;
  }
  await closeDb();
}
