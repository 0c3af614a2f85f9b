/** `npm run bundle -- concepts`: the threshold that it finds holds what it should, and what an encoder knows nothing of gets none. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { cleanPrompts, safety } from '#config/safety.ts';
import { conceptsOf, measure } from '#infra/bundle/concepts.ts';
import { conceptsIn } from '#src/bundles/concepts.ts';
import { type LoadedBundle, loadBundle } from '#src/bundles/load.ts';
import { ruleOfConcepts } from '#src/moderation/verdicts.ts';
import { type BundleCopy, copyBundle } from '#test/support/bundle-copy.ts';

vi.setConfig({ testTimeout: 120_000 });

/** Of the reference world: its second text encoder knows curls, and no colours; of astronauts the clean prompts speak as well. */
const concepts = {
  minors: { title: 'curls', phrases: ['curly hair', 'wavy hair', 'frizzy curls'] },
  gore: { title: 'red hair', phrases: ['red hair', 'ginger hair', 'auburn locks'] },
  hate: { title: 'astronauts', phrases: ['an astronaut in a galaxy', 'a cosmic nebula', 'stellar space'] },
};
const file = { ...safety, concepts };

let bundle: LoadedBundle;
let dir: string;
beforeAll(async () => {
  bundle = await loadBundle(inject('bundleDir'), { threads: 1 });
  dir = await mkdtemp(join(tmpdir(), 'atelier-measured-'));
});
afterAll(async () => {
  await bundle.close();
  await rm(dir, { recursive: true, force: true });
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** What it says, run with these concepts. */
async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const said = { out: '', err: '' };
  for (const [stream, key] of [[process.stdout, 'out'] as const, [process.stderr, 'err'] as const])
    vi.spyOn(stream, 'write').mockImplementation((line) => {
      said[key] += String(line);
      return true;
    });
  const status = await conceptsOf(file)(args);
  vi.restoreAllMocks();
  return { status, ...said };
}

describe('measure', () => {
  it('finds the threshold of what the encoder knows, and none for what it knows nothing of, or what is ordinary', async () => {
    const [curls, red, astronauts] = await measure(bundle, file, cleanPrompts);
    expect(curls).toMatchObject({ missed: { share: 0, of: 240 }, alarms: { share: 0, of: 500 } });
    expect(curls!.threshold).toBeGreaterThan(0);
    expect([red!.threshold, red!.missed.share]).toEqual([null, 1]);
    expect(astronauts!.threshold).toBeNull();
    // The next of the clean prompts' halves is told as it is.
    expect(astronauts!.alarms.share + astronauts!.missed.share).toBeGreaterThan(0.1);

    const ask = conceptsIn(bundle, { minors: curls!.threshold! }, file);
    const rules = (await ask(['a man with an afro', 'a woman, curls, garden', 'a woman, red hair'])).map(
      ruleOfConcepts,
    );
    expect(rules).toEqual(['concept-minors', 'concept-minors', null]);
  });

  it('gives the same each time, and sets nothing by what it tells errors of', async () => {
    const [first] = await measure(bundle, file, cleanPrompts);
    expect((await measure(bundle, file, cleanPrompts))[0]).toEqual(first);
    // Every other clean prompt only tells errors: full of curls, it changes no threshold, and is seen.
    const spoilt = cleanPrompts.map((prompt, i) => (i % 2 ? `${prompt}, curly hair` : prompt));
    const { minors } = concepts;
    const [alone] = await measure(bundle, { ...file, concepts: { minors } }, spoilt);
    expect(alone).toMatchObject({ threshold: null, alarms: { share: 1 } });
  });

  it('tells what none of its other phrases says', async () => {
    const mixed = { title: 'curls and snow', phrases: ['curly hair', 'wavy curls', 'snow and ice'] };
    const [found] = await measure(bundle, { ...file, concepts: { mixed } }, cleanPrompts);
    expect(found!.unlisted.share).toBeGreaterThan(0.25);
    expect(found!.missed.share).toBeLessThan(found!.unlisted.share);
  });
});

describe('npm run bundle -- concepts', () => {
  const measured = async (): Promise<BundleCopy> => {
    const copy = await copyBundle(join(dir, `copy-${Math.random()}`));
    await copy.manifest(
      'ageError: 7',
      'ageError: 7 # ours\n# By hand, with care.\nconcepts:\n  gore: 0.5 # a guess\n  sexual_violence: 0.25\n',
    );
    return copy;
  };

  it('prints thresholds with their errors, says what is not told apart, and changes nothing', async () => {
    const copy = await measured();
    const before = await readFile(join(copy.dir, 'bundle.yaml'), 'utf8');
    const { status, out, err } = await run(copy.dir);
    expect([status, err]).toEqual([0, '']);
    expect(out).toMatch(
      /^minors: held from 0\.\d+ on\n {2}missed 0 % \(0–2 %\) of 240 .*\n {2}missed .*\n {2}false alarms 0\.0 % \(0\.0–0\.8 %\) of 500 /,
    );
    expect(out).toContain(
      'gore: this text encoder does not tell it from ordinary prompts, so it gets no threshold\n  missed 100 % (98–100 %) of 240 ',
    );
    expect(out).toMatch(/\nFor bundle\.yaml:\n\nconcepts:\n {2}minors: 0\.\d+\n$/);
    expect(await readFile(join(copy.dir, 'bundle.yaml'), 'utf8')).toBe(before);
  });

  it('writes them with --write, takes away those that are none, and leaves the rest as it is', async () => {
    const copy = await measured();
    const before = await readFile(join(copy.dir, 'bundle.yaml'), 'utf8');
    const { status, out } = await run('--write', copy.dir);
    expect(status).toBe(0);
    const [, threshold] = /minors: held from (\S+) on/.exec(out) ?? [];
    const after = await readFile(join(copy.dir, 'bundle.yaml'), 'utf8');
    // What it does not measure stays.
    expect(after).toBe(
      before.replace('  gore: 0.5 # a guess\n', '').replace('0.25\n', `0.25\n  minors: ${threshold}\n`),
    );
  });

  it('says plainly that there is nothing, by the concepts of config/safety.yaml, of which the reference world has none', async () => {
    const copy = await copyBundle(join(dir, 'own'));
    const before = await readFile(join(copy.dir, 'bundle.yaml'), 'utf8');
    const out = await new Promise<string>((done) =>
      execFile(
        process.execPath,
        [resolve('infra/bundle/bundle.ts'), 'concepts', copy.dir, '--write'],
        (_, said) => done(said),
      ),
    );
    for (const name of Object.keys(safety.concepts))
      expect(out).toContain(`${name}: this text encoder does not tell it from ordinary prompts`);
    expect(out).toContain('There is nothing to put into bundle.yaml.');
    expect(await readFile(join(copy.dir, 'bundle.yaml'), 'utf8')).toBe(before);
  });

  it('ends with 2 when it is asked wrongly, and with 1 where there is no bundle', async () => {
    for (const args of [[], ['--write'], ['a', 'b'], ['--all']])
      expect(await run(...args)).toMatchObject({ status: 2, err: expect.stringContaining('Usage:') });
    expect(await run(join(dir, 'nowhere'))).toMatchObject({
      status: 1,
      err: expect.stringMatching(/^There is no bundle\.yaml in /),
    });
  });
});
