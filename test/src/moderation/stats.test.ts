/** What the rules refused and held back, and what came of it. */
import { beforeEach, describe, expect, it } from 'vitest';
import review from '#commands/review.ts';
import { finishGeneration } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { decide, reportImage } from '#src/moderation/reviews.ts';
import { ruleCounts, writeRuleCounts } from '#src/moderation/rule-counts.ts';
import { countSaid } from '#src/moderation/said.ts';
import { flagsByRule, refusalsByRule } from '#src/moderation/stats.ts';
import type { Actor } from '#src/people/people.ts';
import { drawn } from '#test/support/drawn.ts';
import { openedBatch } from '#test/support/opened.ts';
import { actor, cell, origin, request, snowflake } from '#test/support/requests.ts';
import { STAFF_ID } from '#test/support/staff.ts';
import { startGeneration } from '#test/support/taking.ts';

const LONG_AGO = new Date('2020-01-01');
let seed = 0;

/** A picture that a rule held back, or, with null, one that a member reports; and what was decided on it. */
async function held(guildId: string, rule: string | null, decision: 'approved' | 'rejected' | null) {
  const batch = await openedBatch(origin({ actor: actor({ guildId }) }), request([cell({ seed: ++seed })]));
  const generation = await db.generation.findFirstOrThrow({ where: { batchId: batch.id } });
  const drawing = (await startGeneration(generation.id, 'w'))!;
  const verdict = rule === null ? 'clear' : 'flagged';
  await finishGeneration(
    drawing,
    'w',
    drawn({ verdict, rule, sha256: String(seed), bundleHash: String(seed) }),
  );
  const image = await db.image.findUniqueOrThrow({ where: { generationId: generation.id } });
  if (rule === null) await reportImage(actor({ guildId }), image.id);
  const { id } = await db.review.findUniqueOrThrow({ where: { imageId: image.id } });
  if (decision) await decide(actor({ guildId, managesGuild: true }), id, decision, null);
}

const stats = (asker: Actor, days: number | null = null) => {
  const options = { getInteger: () => days };
  return review.run({ options } as unknown as Parameters<typeof review.run>[0], origin({ actor: asker }));
};

beforeEach(async () => {
  await db.ruleCount.deleteMany();
});

describe('pictures held back', () => {
  it('are told by rule and guild, with those that moderators let through', async () => {
    const [here, there] = [snowflake(), snowflake()];
    for (const decision of ['approved', 'rejected', 'rejected', null] as const)
      await held(here, 'classifier-flagged', decision);
    await held(here, null, 'rejected');
    await held(there, 'classifier-failed', null);

    expect(await flagsByRule([here], LONG_AGO)).toMatchObject([
      { rule: 'classifier-flagged', flagged: 4, overturned: { share: 1 / 3, of: 3 } },
      { rule: 'report', flagged: 1, overturned: { share: 0, of: 1 } },
    ]);
    expect(await flagsByRule([here], new Date(Date.now() + 60_000))).toEqual([]);
    const all = await flagsByRule('all', LONG_AGO);
    expect(all.map(({ rule }) => rule)).toEqual(
      expect.arrayContaining(['classifier-flagged', 'classifier-failed']),
    );

    expect(await stats(actor({ guildId: here, managesGuild: true }))).toBe(
      [
        '**Pictures held back** in 30 days',
        '`classifier-flagged`: 4 held back, 33 % (6–79 %) of 3 of those decided on were let through',
        '`report`: 1 held back, 0 % (0–79 %) of 1 of those decided on were let through',
      ].join('\n'),
    );
    expect(await stats(actor({ managesGuild: true }), 1)).toBe('**Pictures held back** in 1 day\nNone.');
    await expect(stats(actor({ guildId: here }))).rejects.toMatchObject({ code: 'moderators_only' });
  });
});

describe('prompts refused', () => {
  it('are counted by rule, and told to the platform’s staff alone', async () => {
    const allowed = { hash: 'now', rule: '', shadow: '', shadowRule: '' };
    for (const rule of ['gore', 'gore', 'sexual']) countSaid({ ...allowed, rule });
    countSaid(allowed, 97);
    await writeRuleCounts();
    countSaid(allowed, 100);
    countSaid({ ...allowed, rule: 'gore', shadow: 'next', shadowRule: '' });
    await Promise.all([writeRuleCounts(), writeRuleCounts()]);

    expect(await refusalsByRule(LONG_AGO)).toMatchObject([
      { rule: 'gore', refused: { share: 3 / 201, of: 201 } },
      { rule: 'sexual', refused: { share: 1 / 201, of: 201 } },
    ]);
    expect(await ruleCounts(LONG_AGO, 'next')).toEqual([
      { hash: 'now', rule: 'gore', shadow: 'next', shadowRule: '', count: 1 },
    ]);
    expect(await stats({ ...actor(), id: STAFF_ID })).toContain(
      '**Prompts refused**\n`gore`: 1 % (0.51–4 %) of 201 of all prompts\n`sexual`: 0.50 % (0.09–3 %) of 201 of all prompts',
    );
    expect(await stats(actor({ managesGuild: true }))).not.toContain('Prompts refused');
  });

  it('that could not be written are kept', async () => {
    const odd = { hash: 'now', rule: 'a\0b', shadow: '', shadowRule: '' };
    countSaid(odd);
    await expect(writeRuleCounts()).rejects.toThrow();
    await expect(writeRuleCounts()).rejects.toThrow();
  });
});
