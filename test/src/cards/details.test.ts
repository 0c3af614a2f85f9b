import { expect, it } from 'vitest';
import { openBatch } from '#src/batches/batches.ts';
import { detailsOf } from '#src/cards/details.ts';
import { db } from '#src/doors/db.ts';
import { type Picture, picturesOf } from '#src/generations/pictures.ts';
import { parameters } from '#src/parameters/definitions.ts';
import { sayIn } from '#src/say.ts';
import { drawAll } from '#test/src/services/courier/local.ts';
import { actor, cell, origin, otherValue, request } from '#test/support/requests.ts';

const owner = actor();

async function drawn(changes: Parameters<typeof cell>[0] = {}): Promise<Picture> {
  const batch = await openBatch(origin({ actor: owner }), request([cell(changes)], { kind: 'sweep' }));
  await drawAll(batch.id);
  await db.generation.updateMany({
    where: { batchId: batch.id },
    data: { timings: { lora: 0, base: 1234.5, details: 400.4, encode: 0.3 } },
  });
  const [picture] = await picturesOf(batch.id);
  return picture!;
}

/** The lines below each heading. */
function groupsOf(details: string): Record<string, string> {
  const [, ...parts] = details.split(/^\*\*(Asked for|Changed from the default|Technical)\*\*$/m);
  return Object.fromEntries(parts.flatMap((part, i) => (i % 2 ? [] : [[part, parts[i + 1]!.trim()]])));
}

it('says apart what was asked for, what was set otherwise than usual, and what it took', async () => {
  const picture = await drawn({
    prompt: 'portrait of a sailor',
    seed: 42,
    coordinates: { guidance_scale: '4' },
    parameters: { steps: 30, guidance_scale: 4, scheduler: 'euler', negative_prompt: 'hats' },
  });
  const details = detailsOf(sayIn('en'), owner.id, picture);
  expect(details).toMatch(/^\*\*Picture 1\*\* · done · \d+ tokens?\n/);
  const groups = groupsOf(details);
  expect(Object.keys(groups)).toEqual(['Asked for', 'Changed from the default', 'Technical']);
  expect(groups['Asked for']).toMatch(
    /portrait of a sailor[\s\S]*Seed `42`[\s\S]*guidance scale 4[\s\S]*`hats`/,
  );
  // In the order of the definitions, not of their lengths.
  expect(groups['Changed from the default']).toBe(
    'Guidance scale `4` (`7.5`) · Steps `30` (`20`) · Scheduler `euler` (`ddim`)',
  );
  const { sha256 } = picture.image!;
  expect(groups.Technical).toContain('Took 1.6 s: base 1.2 s, details 400 ms\n');
  expect(groups.Technical).toContain(`sha256 \`${sha256.slice(0, 12)}\``);
  expect(groups.Technical).not.toMatch(/lora|encode|\b0 ms/);
});

it('says so when everything is as usual', async () => {
  expect(groupsOf(detailsOf(sayIn('en'), owner.id, await drawn()))['Changed from the default']).toBe(
    'Nothing.',
  );
});

it('fits one answer whatever was set, with most of the prompt', async () => {
  const odd = [...parameters].map(([name, parameter]) => [name, otherValue(parameter)]);
  const picture = await drawn({ prompt: 'p'.repeat(1_000), parameters: Object.fromEntries(odd) });
  const details = detailsOf(sayIn('en'), owner.id, picture);
  expect(details.length).toBeLessThanOrEqual(2_000);
  expect(details).toContain('p'.repeat(300));
  expect(details).toContain(`Id \`${picture.id}\``);
});
