/** Rules that look on before they count: what they say beside those in force, and who has them count. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import rules from '#commands/rules.ts';
import { openBatch } from '#src/batches/batches.ts';
import { finishGeneration } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { followRules } from '#src/moderation/follow-rules.ts';
import { replay, replayPictures } from '#src/moderation/replay.ts';
import { decide } from '#src/moderation/reviews.ts';
import { ruleCounts, writeRuleCounts } from '#src/moderation/rule-counts.ts';
import { nextRules, ownRules, rulesHash } from '#src/moderation/rule-set.ts';
import { decideOnRules } from '#src/moderation/rule-sets.ts';
import { setStanding } from '#src/moderation/standing.ts';
import { verdictOf } from '#src/moderation/verdicts.ts';
import { type CheckedPrompt, checkName, checkPrompt } from '#src/moderation/words.ts';
import { drawn } from '#test/support/drawn.ts';
import { actor, cell, origin, request, snowflake } from '#test/support/requests.ts';
import { STAFF_ID } from '#test/support/staff.ts';
import { startGeneration } from '#test/support/taking.ts';

// A candidate: brass bands are refused, and swords of all that is gore.
vi.mock('#config/safety.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('#config/safety.ts')>();
  const { gore, ...others } = original.safety.rules;
  const brass = { says: 'it asks for brass.', any: ['brassband', 'tubaplayer'] };
  const flagged = { labels: ['flagged'], maybeMinor: 0.1, withFace: 0.2, usual: 0.3 };
  const { adult: _, ...lessScores } = original.safety.scores;
  return {
    ...original,
    nextSafety: {
      ...original.safety,
      rules: { ...others, gore: { ...gore, any: ['dismembered'] }, brass },
      scores: { ...lessScores, flagged },
    },
  };
});

const staff = { ...actor(), id: STAFF_ID };
const LONG_AGO = new Date(0);
const next = nextRules!;
const type = (sub: string, asker = staff) =>
  rules.run(
    { options: { getSubcommand: () => sub } } as unknown as Parameters<typeof rules.run>[0],
    origin({ actor: asker }),
  );
const code = (code: string) => expect.objectContaining({ code });

beforeEach(async () => {
  await writeRuleCounts();
  await db.ruleSet.deleteMany();
  await db.ruleCount.deleteMany();
  setStanding('shadow');
});

describe('rules that look on', () => {
  it('refuse nothing, and what they would say differently is counted', async () => {
    expect(checkPrompt('a brassband in the park')).toBe('a brassband in the park');
    expect(checkPrompt('a quiet lake')).toBe('a quiet lake');
    expect(() => checkPrompt('a severed head')).toThrow(code('prompt_blocked'));
    expect(() => checkPrompt('dismembered')).toThrow(code('prompt_blocked'));
    await writeRuleCounts();
    const said = { hash: ownRules.hash, shadow: next.hash, count: 1 };
    expect(new Set(await ruleCounts(LONG_AGO, next.hash))).toEqual(
      new Set([
        { ...said, rule: '', shadowRule: 'brass' },
        { ...said, rule: '', shadowRule: '' },
        { ...said, rule: 'gore', shadowRule: '' },
        { ...said, rule: 'gore', shadowRule: 'gore' },
      ]),
    );
    expect(await type('list')).toMatch(
      /Of 4 prompts since they look on, they would refuse 1 more and 1 fewer\./,
    );
  });

  it('count once staff promote them, in every process within seconds, and what was planned by others is checked again', async () => {
    const before = rulesHash();
    await decideOnRules(staff, 'inForce');
    expect(() => checkPrompt('a brassband in the park')).toThrow(code('prompt_blocked'));
    expect(() => checkName('Brassband', 'The title')).toThrow(code('name_blocked'));
    expect(checkPrompt('a severed head')).toBe('a severed head');
    expect(rulesHash()).not.toBe(before);

    // Another process, which only reads what was decided.
    setStanding('shadow');
    expect(checkPrompt('a brassband')).toBe('a brassband');
    await followRules();
    expect(() => checkPrompt('a brassband')).toThrow(code('prompt_blocked'));
    expect(
      await db.auditEvent.findFirst({ where: { action: 'rules.promote' }, orderBy: { createdAt: 'desc' } }),
    ).toMatchObject({
      actorId: STAFF_ID,
      subject: `rules:${next.hash}`,
      before: { state: 'shadow' },
    });
    expect(await type('list')).toBe(
      `**These count** \`${next.hash.slice(0, 12)}\` safety.next.yaml\n**Instead of** \`${ownRules.hash.slice(0, 12)}\` safety.yaml`,
    );
  });

  it('are asked no more once they were dropped, and may be promoted still', async () => {
    await type('drop');
    checkPrompt('a brassband');
    await writeRuleCounts();
    expect(await ruleCounts(LONG_AGO)).toEqual([
      { hash: ownRules.hash, rule: '', shadow: '', shadowRule: '', count: 1 },
    ]);
    await followRules();
    expect(checkPrompt('a brassband')).toBe('a brassband');
    await expect(type('drop')).rejects.toMatchObject({ code: 'rules_none' });
    await type('promote');
    expect(() => checkPrompt('a brassband')).toThrow(code('prompt_blocked'));
  });

  it('are decided on by the platform’s own people alone', async () => {
    for (const sub of ['list', 'promote', 'drop'])
      await expect(type(sub, actor({ managesGuild: true }))).rejects.toMatchObject({ code: 'platform_only' });
    await followRules();
    expect(checkPrompt('a brassband')).toBe('a brassband');
    expect(await db.ruleSet.count()).toBe(0);
  });
});

describe('a replay', () => {
  it('tells what they would have refused, and how often people agree', async () => {
    const guildId = snowflake();
    const draw = async (prompt: string, decision: 'approved' | 'rejected' | 'published' | null, seed = 0) => {
      const { id } = await openBatch(
        origin({ actor: actor({ guildId }) }),
        request([cell({ prompt: prompt as CheckedPrompt, seed })]),
      );
      const generation = await db.generation.findFirstOrThrow({ where: { batchId: id } });
      const flagged = decision === 'approved' || decision === 'rejected';
      const facts = {
        verdict: flagged ? ('flagged' as const) : ('clear' as const),
        rule: flagged ? 'x' : null,
      };
      await finishGeneration(
        (await startGeneration(generation.id, 'w'))!,
        'w',
        drawn({ ...facts, bundleHash: id }),
      );
      const image = await db.image.findUniqueOrThrow({
        where: { generationId: generation.id },
        include: { review: true },
      });
      if (decision === 'published')
        await db.image.update({ where: { id: image.id }, data: { publishedAt: new Date() } });
      else if (decision)
        await decide(actor({ guildId, managesGuild: true }), image.review!.id, decision, null);
    };
    await draw('brassband one', 'rejected');
    await draw('brassband two', 'approved');
    // Once rejected counts, and a prompt counts once.
    await draw('brassband three', 'approved', 1);
    await draw('brassband three', 'rejected', 2);
    await draw('brassband four', 'published');
    await draw('brassband five', null);
    await draw('a lake', 'rejected');

    const told = await replay(next, 1_000);
    expect(told).toMatchObject({
      prompts: 6,
      share: { share: 5 / 6 },
      refused: [{ rule: 'brass', count: 5, rejected: { share: 2 / 4, of: 4 } }],
    });
    expect(told.refused[0]!.rejected.low).toBeGreaterThan(0.1);
    // The newest alone.
    expect(await replay(next, 1)).toMatchObject({ prompts: 1, refused: [] });
    expect(await type('list')).toContain('`brass`: 5; of those decided on, rejected: 50 % (15–85 %) of 4');
  });

  it('tells which pictures thresholds would hold and let through, and verdicts are by those in force', async () => {
    const guildId = snowflake();
    const judged = {
      set: 'usual',
      score: null,
      label: null,
      thresholds: 'x',
      face: false,
      minor: false,
      concepts: {},
    } as const;
    const draw = async (scores: Record<string, number>, verdict: 'clear' | 'flagged', seed: number) => {
      const { id } = await openBatch(
        origin({ actor: actor({ guildId }) }),
        request([cell({ prompt: 'a hill' as CheckedPrompt, seed })]),
      );
      const { id: generationId } = await db.generation.findFirstOrThrow({ where: { batchId: id } });
      const facts = {
        scores,
        judged,
        verdict,
        rule: verdict === 'clear' ? null : 'classifier-adult',
        bundleHash: id,
      };
      await finishGeneration((await startGeneration(generationId, 'w'))!, 'w', drawn(facts));
    };
    await draw({ 'c.flagged': 0.4 }, 'clear', 11);
    await draw({ 'c.flagged': 0.1 }, 'clear', 12);
    await draw({ 'c.flagged': 0, 'd.porn': 0.9, 'd.Sexy': 0 }, 'flagged', 13);
    const told = await replayPictures(next.file.scores, 3);
    expect(told).toMatchObject({
      pictures: 3,
      held: [{ rule: 'classifier-flagged', count: 1, rejected: { of: 0 } }],
      letThrough: [{ rule: 'classifier-adult', count: 1 }],
    });

    const seen = { scores: { c: { flagged: 0.4 } }, ages: [], concepts: {} };
    const where = { ageRestricted: false, faceAsked: false, guild: {} };
    const before = verdictOf(seen, where);
    expect(before.verdict).toBe('clear');
    setStanding('inForce');
    const after = verdictOf(seen, where);
    expect(after).toMatchObject({ verdict: 'flagged', rule: 'classifier-flagged' });
    expect(after.judged.thresholds).not.toBe(before.judged.thresholds);
  });
});
