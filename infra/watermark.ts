/**
 * `npm run watermark -- detect FILE`: whether a picture carries the invisible watermark of an Atelier, and what that says. For anybody: it
 * needs no database, no key and no network. With a DATABASE_URL it also says whether it is that Atelier's own.
 *
 * Ends with 0 when there is one, with 1 when there is none, with 2 when the file could not be read or the arguments are wrong.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import sharp from 'sharp';
import { config } from '#config/env.ts';
import { SIDE_MIN } from '#pipelines/watermark/embed.ts';
import { readWatermark } from '#pipelines/watermark/find.ts';
import { closeDb } from '#src/doors/db.ts';
import { isAway } from '#src/doors/postgres.ts';
import { UserError } from '#src/errors.ts';
import { identity } from '#src/marks/installation.ts';
import { decodeMark } from '#src/marks/payload.ts';
import { readPhoto } from '#src/uploads/photos.ts';

/** More is no picture of ours, and is not read into memory. */
const FILE_BYTES_MAX = 64 * 2 ** 20;

const say = (line: string) => process.stdout.write(`${line}\n`);

/** @returns the exit code */
async function detect(file: string): Promise<number> {
  const found = await stat(file).catch(() => null);
  if (!found?.isFile()) return refuse(`There is no file ${file}.`);
  if (found.size > FILE_BYTES_MAX) return refuse(`${file} has more than ${FILE_BYTES_MAX / 2 ** 20} MiB.`);
  try {
    // In a process of its own, as it may be anybody's file. What comes of it is a PNG that we wrote ourselves.
    const { png } = await readPhoto(await readFile(file), basename(file));
    const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    return await tell(readWatermark({ rgb: data, width: info.width, height: info.height }));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return refuse(error.userMessage);
  }
}

async function tell(reading: ReturnType<typeof readWatermark>): Promise<number> {
  const mark = reading && decodeMark(reading.bytes);
  if (!reading) {
    say(
      `No watermark was found. That proves nothing: one that was turned, mirrored, drawn over or smaller than ${SIDE_MIN} px has none left.`,
    );
    return 1;
  }
  if (!mark) {
    say('There is a watermark, and too little of it is left to be read: its checksum is wrong.');
    return 1;
  }
  say('A watermark was found: this picture was drawn by Atelier.');
  say(`  installation  ${mark.installation} (${await whose(mark.installation)})`);
  say(`  generation    …${mark.generation} (its id ends so)`);
  say(`  size          ${reading.scale.toFixed(2)} of what it was drawn in`);
  say(
    `  likeness      ${reading.likeness.toFixed(1)} (of chance: less than 11.1 in all but one of a million pictures)`,
  );
  return 0;
}

async function whose(installation: number): Promise<string> {
  if (!config.databaseUrl) return 'whether it is yours cannot be told without DATABASE_URL';
  try {
    const { installation: ours } = await identity();
    return installation === ours ? 'yours' : `not yours, which is ${ours}`;
  } catch (error) {
    if (!isAway(error)) throw error;
    return 'whether it is yours cannot be told: the database of DATABASE_URL does not answer';
  } finally {
    await closeDb();
  }
}

function refuse(line: string): number {
  process.stderr.write(`${line}\n`);
  return 2;
}

const [command, file, ...more] = process.argv.slice(2);
process.exitCode =
  command === 'detect' && file && !more.length
    ? await detect(file)
    : refuse('Usage: npm run watermark -- detect FILE');
