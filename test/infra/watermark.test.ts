/** `npm run watermark -- detect FILE`, as people type it. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { embedWatermark } from '#pipelines/watermark/embed.ts';
import { closeDb, db } from '#src/doors/db.ts';
import { identity } from '#src/marks/installation.ts';
import { encodeMark } from '#src/marks/payload.ts';
import { screenshot, sharpOf } from '../bench/watermark/attacks.ts';

let dir: string;
const drawn = drawPhoto(person(4), 1, 512, 640);
const bytes = encodeMark({ installation: 40_507, generation: 'c8d9e0f1a' });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-watermark-'));
  const marked = embedWatermark(drawn, bytes);
  const wrong = embedWatermark(
    drawn,
    bytes.map((byte) => byte ^ 1),
  );
  await sharpOf(marked).avif({ quality: 70 }).toFile(join(dir, 'marked.avif'));
  await sharpOf(await screenshot(1.3)(marked))
    .png()
    .toFile(join(dir, 'screenshot.png'));
  await sharpOf(wrong).png().toFile(join(dir, 'wrong.png'));
  await sharpOf(drawn).webp().toFile(join(dir, 'unmarked.webp'));
  await sharpOf(drawn).resize(10, 10).png().toFile(join(dir, 'ten.png'));
  await writeFile(join(dir, 'words.jpg'), 'These are words.');
});
afterAll(async () => {
  await closeDb();
  await rm(dir, { recursive: true, force: true });
});

const run = (args: readonly string[], env: NodeJS.ProcessEnv = process.env) =>
  spawnSync(process.execPath, ['infra/watermark.ts', ...args], { encoding: 'utf8', env });

it.each([
  ['marked.avif', 0, /^A watermark was found.*\n +installation +40507 .*\n +generation +…c8d9e0f1a/],
  ['screenshot.png', 0, / +generation +…c8d9e0f1a \(its id ends so\)\n +size +1\.(29|30|31) of/],
  ['wrong.png', 1, /^There is a watermark, .*its checksum is wrong\.\n$/],
  ['unmarked.webp', 1, /^No watermark was found\./],
  ['ten.png', 2, /^`ten\.png` is too small: each side needs 128 px or more\.\n$/],
  ['words.jpg', 2, /^`words\.jpg` is not a picture I can read/],
  ['nowhere.png', 2, /^There is no file .*nowhere\.png\.\n$/],
])('of %s ends with %i', (file, code, says) => {
  const { status, stdout, stderr } = run(['detect', join(dir, file)]);
  expect(code === 2 ? stderr : stdout).toMatch(says);
  expect(status).toBe(code);
});

describe('whose it is', () => {
  const told = (env?: NodeJS.ProcessEnv) => {
    const { status, stdout } = run(['detect', join(dir, 'marked.avif')], env);
    expect(status).toBe(0);
    return / +installation +40507 \((.*)\)\n/.exec(stdout)?.[1];
  };

  it('is told where there is a database', async () => {
    await identity();
    const isOf = (number: number) => db.installation.update({ where: { id: 1 }, data: { number } });
    await isOf(40_507);
    expect(told()).toBe('yours');
    await isOf(40_508);
    expect(told()).toBe('not yours, which is 40508');
  });

  it('cannot be told without one, nor where it does not answer', () => {
    const { DATABASE_URL: _, ...none } = process.env;
    expect(told(none)).toMatch(/cannot be told without DATABASE_URL/);
    const nobody = { ...process.env, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' };
    expect(told(nobody)).toMatch(/cannot be told: the database .* does not answer/);
  });
});

it('says how it is used', () => {
  const { status, stderr } = run(['detect']);
  expect([status, stderr]).toEqual([2, 'Usage: npm run watermark -- detect FILE\n']);
});
