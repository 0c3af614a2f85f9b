import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openBatch, reusable } from '#src/batches/batches.ts';
import { db } from '#src/doors/db.ts';
import { hasFile } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import { deleteImage, finishGeneration, startGeneration } from '#src/generations/generations.ts';
import { checkPrompt, decide, mayBeShown, reportImage, verdictOf } from '#src/moderation/moderation.ts';
import { actor, asking, cell, request, snowflake } from '#test/support/requests.ts';

const code = (code: string) => expect.objectContaining({ code });
/** `blocked`, another code, or `allowed`. */
function outcome(prompt: string): string {
  try {
    checkPrompt(prompt);
    return 'allowed';
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.code === 'prompt_blocked' ? 'blocked' : error.code;
  }
}

const BENIGN = [
  'portrait of a woman with red hair',
  'a man from Scunthorpe, oil painting',
  'a farmer in Penistone, Yorkshire',
  'a silk handkerchief in his breast pocket',
  'bartender mixing a bloody mary',
  'woman with nude lipstick and soft light',
  'nude-coloured dress, studio portrait',
  'a girl with a pearl earring, by Vermeer',
  'a boy with a kite, watercolour',
  'mother holding her baby, warm light',
  'a class of children painting',
  'a teenager with a skateboard, street photography',
  'schoolgirl reading in a library',
  'a baby blue evening gown with elegant neckline, sensual light',
  'cover girl, seductive smile, 1950s magazine',
  'ten people in lingerie-free winter coats',
  'a sexy man in his forties with a beard',
  'portrait of an actress in a bikini on the beach, 30 years old',
  'hiker in a Gore-Tex jacket',
  'Al Gore giving a speech',
  'seen with the naked eye, the milky way',
  'a naked mole rat as a king',
  'naked trees in the winter fog',
  'graduated summa cum laude, portrait in a gown',
  'a cockatoo and a great tit on a branch',
  'woodcock in the grass',
  'a pussycat with green eyes',
  'Dick Van Dyke dancing on a rooftop',
  'the pen is mightier than the sword, still life',
  'classic car, assassin’s cloak, grass and glass',
  'a massive bass player in Essex',
  'circumstances, cucumbers and documents',
  'a therapist in her office',
  'analysis of the canal in Sussex',
  'an arsenal of brushes',
  'Titian, portrait of a lady',
  'Hitchcock with a raven',
  'swan lake, ballet dancer',
  'a shiitake mushroom portrait',
  'Japanese garden, kimono, night',
  'an old sailor, scars, blood moon',
  'a vampire with pale skin and red eyes',
  'a knight with a severed chain',
  'surgeon in an operating room',
  'a butcher in his shop',
  'heart-shaped locket, white dress, power suit',
  'a Nazar amulet around her neck',
  'an ancient Hindu temple at dawn',
  'Klimt style, gold leaf, kissing couple',
  'Renaissance cherub, angels, clouds',
  'a bearded wizard, 1girl hidden in the crystal ball',
  'k. k. slider with a guitar',
  'ok kk lol, a smiling man',
  'B&W photo, f/1.4, 85mm, ISO 100',
  'cyberpunk hacker, neon, 8k, ultra-detailed',
  '5 o’clock tea, 3 friends, 4 cups',
  'a 12 year old whisky in a glass',
  'a 10 years old oak table, carpenter at work',
  'женщина в саду, масло',
  '庭園の女性の肖像',
  'γυναίκα με κόκκινα μαλλιά',
  'ritratto di una donna, luce naturale',
  'minor key: a sensual cellist at dusk',
  'stripes, breasted robin, cocktail dress',
];

describe('checkPrompt', () => {
  it.each(BENIGN)('allows %s', (prompt) => {
    expect(outcome(prompt)).toBe('allowed');
  });

  it.each([
    ['sexual', 'a nude woman'],
    ['sexual', 'two people having sex'],
    ['sexual', 'nude lipstick, nude woman'],
    ['sexual', '(nude:1.3), portrait'],
    ['minors', 'a sexy child'],
    ['minors', 'schoolgirl in lingerie'],
    ['minors', 'a 12 year old in a bikini'],
    ['minors', 'a 12yo in a bikini'],
    ['minors', 'a 12-year-old in a bikini'],
    ['minors', 'fourteen years old, erotic'],
    ['minors', 'bikini, girl'],
    ['minors_terms', 'lolicon'],
    ['gore', 'a decapitated man'],
    ['gore', 'his severed head on a table'],
    ['hate', 'white power rally'],
    ['hate', 'man with a swastika'],
  ])('refuses by the rule %s: %s', (rule, prompt) => {
    try {
      checkPrompt(prompt);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'prompt_blocked' });
      const { userMessage } = error as UserError;
      expect(userMessage).toMatch(/^I can't draw that: it .*\. Nothing was charged\.$/);
      expect(userMessage).toContain(
        { sexual: 'sexual content', gore: 'gore', hate: 'hate' }[rule] ?? 'sexualise a child',
      );
    }
  });

  it.each([
    ['upper case', 'NUDE'],
    ['accents', 'nüdé'],
    ['combining marks', 'n̶u̶d̶e̶'],
    ['full width', 'ｎｕｄｅ'],
    ['mathematical bold', '𝐧𝐮𝐝𝐞'],
    ['mathematical script', '𝓃𝓊𝒹ℯ'],
    ['small caps', 'ɴᴜᴅᴇ'],
    ['circled', 'ⓝⓤⓓⓔ'],
    ['Cyrillic look-alikes', 'nudе'],
    ['Greek look-alikes', 'ηudε'],
    ['leet', 'nud3'],
    ['leet signs', 'p0rn!'],
    ['leet in the middle', 'h3nt4i'],
    ['an l for an i', '1ingerie, ch1ld'],
    ['zero-width', 'n\u200bu\u200bd\u200be'],
    ['soft hyphens', 'nu\u00adde'],
    ['word joiners', 'nu\u2060de'],
    ['tag characters', 'nu\u{e0064}de'],
    ['right-to-left marks', 'nu\u202e\u202cde'],
    ['a Hangul filler', 'nu\u3164de'],
    ['repeats', 'nuuuudeee'],
    ['spaces', 'n u d e'],
    ['spaces after an article', 'a n u d e x'],
    ['spaces and repeats', 'n n u u u d d d e e'],
    ['dots', 'n.u.d.e'],
    ['dashes in it', 'nu-de'],
    ['underscores', 'n_u_d_e'],
    ['lines', 'n\nu\nd\ne'],
    ['no-break spaces', 'n\u00a0u\u00a0d\u00a0e'],
    ['commas around', 'tree,nude,sea'],
    ['digits around', '1nude2'],
    ['mixed', 'Ｎ-u\u200b.Ｄ-3'],
  ])('is not evaded by %s', (_, word) => {
    expect(outcome(`portrait of a ${word} in the sun`)).toBe('blocked');
  });

  it('is not evaded by any mixture of these', () => {
    const tricks: ((c: string) => string)[] = [
      (c) => c.toUpperCase(),
      (c) => `${c}\u200b`,
      (c) => `${c}\u0301`,
      (c) => `${c}\u00ad`,
      (c) => String.fromCodePoint(c.charCodeAt(0) + 0xfee0),
      (c) => String.fromCodePoint(0x1d41a + c.charCodeAt(0) - 97),
      (c) => c + c,
      (c) => ({ e: '3', o: '0', a: '4', i: '1', s: '$' })[c] ?? c,
      (c) => ({ e: 'е', o: 'о', a: 'а', p: 'р', c: 'с', x: 'х' })[c] ?? c,
    ];
    const disguised = fc
      .tuple(
        fc.constantFrom('nude', 'porn', 'hentai', 'decapitated', 'swastika', 'genitals', 'lolicon'),
        fc.array(fc.constantFrom(...tricks), { minLength: 11, maxLength: 11 }),
        fc.constantFrom('', ' ', '.', '-', '_', '\n'),
      )
      .map(([word, chosen, between]) => [...word].map((c, i) => chosen[i]!(c)).join(between));
    fc.assert(
      fc.property(disguised, (text) => {
        expect(outcome(`portrait, ${text}, sea`)).toBe('blocked');
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuses what is empty, also when it only looks like something', () => {
    for (const prompt of ['', '   ', '\u200b\u200b', '...', '\u0301', ' \n\t '])
      expect(outcome(prompt)).toBe('prompt_empty');
  });

  it('refuses 6,000 characters, says how many, and takes 1,000', () => {
    expect(() => checkPrompt('word '.repeat(1_200))).toThrow(
      expect.objectContaining({
        code: 'prompt_long',
        userMessage: 'A prompt may have 1000 characters; yours has 6000. Shorten it.',
      }),
    );
    expect(outcome('💐'.repeat(1_000))).toBe('allowed');
    expect(outcome('w'.repeat(1_000))).toBe('allowed');
  });

  it('takes no longer for hostile text', () => {
    const hostile = [
      'a '.repeat(500),
      '.'.repeat(1_000),
      'n u d '.repeat(160),
      '1!|'.repeat(333),
      'a.'.repeat(500),
      'x'.repeat(1e6),
      '\u0301'.repeat(1e6),
    ];
    for (const text of hostile) outcome(text);
    for (const text of hostile) {
      const before = performance.now();
      outcome(text);
      expect(performance.now() - before).toBeLessThan(50);
    }
  });
});

describe('verdictOf', () => {
  it('flags at the threshold and above', () => {
    expect(verdictOf({ normal: 0.9, flagged: 0.1 })).toEqual({
      verdict: 'clear',
      scores: { normal: 0.9, flagged: 0.1 },
      rule: null,
    });
    expect(verdictOf({ normal: 0.5, flagged: 0.5 })).toMatchObject({
      verdict: 'flagged',
      rule: 'classifier-flagged',
    });
  });

  it.each([
    ['nothing', null],
    ['no score', {}],
    ['another label', { normal: 0.9 }],
    ['NaN', { normal: 0.9, flagged: Number.NaN }],
    ['NaN elsewhere', { normal: Number.NaN, flagged: 0.1 }],
    ['a score below 0', { flagged: -0.1 }],
    ['infinity', { flagged: Number.POSITIVE_INFINITY }],
  ])('flags when the classifier said %s', (_, scores) => {
    expect(verdictOf(scores)).toEqual({ verdict: 'flagged', scores: {}, rule: 'classifier-failed' });
  });
});

describe('mayBeShown', () => {
  const image = (verdict: 'clear' | 'flagged' | 'blocked', deleted = false) => ({
    verdict,
    deletedAt: deleted ? new Date() : null,
  });
  it.each([
    [image('clear'), null, true],
    [image('clear', true), null, false],
    [image('clear'), 'pending', false],
    [image('clear'), 'rejected', false],
    [image('flagged'), null, false],
    [image('flagged'), 'pending', false],
    [image('flagged'), 'rejected', false],
    [image('flagged'), 'approved', true],
    [image('flagged', true), 'approved', false],
    [image('blocked'), 'approved', false],
    [image('blocked'), null, false],
  ] as const)('of %j and a review that is %s: %s', (image, state, shown) => {
    expect(mayBeShown(image, state && { state })).toBe(shown);
  });
});

/** A drawn picture, and a moderator of its guild. */
async function picture(verdict: 'clear' | 'flagged' = 'flagged', guildId: string | null = snowflake()) {
  const person = actor({ guildId });
  const { batch } = await openBatch(
    asking({ actor: person }),
    request([cell({ seed: Number(person.id.slice(-6)) })]),
  );
  const generation = await db.generation.findFirstOrThrow({ where: { batchId: batch.id } });
  const drawing = await startGeneration(generation.id, 'w');
  await finishGeneration(drawing!, 'w', {
    png: Buffer.from('the bytes'),
    width: 512,
    height: 640,
    sha256: 'aa',
    thumbhash: new Uint8Array([1]),
    ...verdictOf({ flagged: verdict === 'flagged' ? 0.9 : 0.1 }),
    likeness: null,
    bundleHash: 'weights',
    timings: {},
  });
  const image = await db.image.findUniqueOrThrow({
    where: { generationId: generation.id },
    include: { review: true },
  });
  return {
    person,
    batch,
    image,
    reviewId: image.review?.id ?? '',
    moderator: actor({ guildId, managesGuild: true }),
  };
}
const imageNow = (id: string) => db.image.findUniqueOrThrow({ where: { id }, include: { review: true } });
const strikesOf = async (id: string) => (await db.user.findUniqueOrThrow({ where: { id } })).strikes;

describe('a flagged picture', () => {
  it('is kept apart, and waits in the guild for a moderator', async () => {
    const { image, batch, reviewId } = await picture();
    expect(image.storageKey).toMatch(/^quarantine\//);
    expect(mayBeShown(image, image.review)).toBe(false);
    expect(image.review).toMatchObject({ state: 'pending', cause: 'classifier', guildId: batch.guildId });
    expect(await db.delivery.findFirst({ where: { reviewId } })).toMatchObject({
      kind: 'review',
      state: 'active',
      guildId: batch.guildId,
      channelId: null,
    });
  });

  it('approved moves to its folder, may be shown, and reaches its batch and its asker', async () => {
    const { image, batch, reviewId, moderator, person } = await picture();
    const card = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id, kind: 'card' } });
    await decide(moderator, reviewId, 'approved', null);
    const now = await imageNow(image.id);
    expect(now.storageKey).toBe(image.storageKey.replace('quarantine/', 'tests/'));
    expect([await hasFile(now.storageKey), await hasFile(image.storageKey)]).toEqual([true, false]);
    expect(now).toMatchObject({
      verdict: 'flagged',
      review: { state: 'approved', moderatorId: moderator.id },
    });
    expect(mayBeShown(now, now.review)).toBe(true);
    expect((await db.delivery.findUniqueOrThrow({ where: { id: card.id } })).wanted).toBeGreaterThan(
      card.wanted,
    );
    expect(await db.delivery.findFirst({ where: { reviewId, kind: 'review' } })).toMatchObject({ wanted: 2 });
    expect(await db.delivery.findFirst({ where: { reviewId, kind: 'notice' } })).toMatchObject({
      userId: person.id,
    });
    expect(await strikesOf(person.id)).toBe(0);
    expect(await db.auditEvent.findFirst({ where: { subject: `image:${image.id}` } })).toMatchObject({
      action: 'review.approve',
      actorId: moderator.id,
    });
  });

  it('rejected is deleted, and gives its asker one strike', async () => {
    const { image, reviewId, moderator, person } = await picture();
    await decide(moderator, reviewId, 'rejected', '  too much  ');
    const now = await imageNow(image.id);
    expect(now.deletedAt).toBeInstanceOf(Date);
    expect(now.review).toMatchObject({ state: 'rejected', reason: 'too much' });
    expect(mayBeShown(now, now.review)).toBe(false);
    expect(await hasFile(image.storageKey)).toBe(false);
    expect(await strikesOf(person.id)).toBe(1);
    expect(await db.delivery.count({ where: { reviewId, kind: 'notice' } })).toBe(1);
  });

  it('is decided once, by whoever is first; the others are told who', async () => {
    for (let i = 0; i < 8; i++) {
      const { image, reviewId, moderator, person } = await picture();
      const other = { ...moderator, id: snowflake() };
      const presses = await Promise.allSettled([
        decide(moderator, reviewId, 'approved', null),
        decide(other, reviewId, 'rejected', null),
        decide(moderator, reviewId, 'approved', null),
      ]);
      expect(presses.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const now = await imageNow(image.id);
      for (const press of presses)
        if (press.status === 'rejected')
          expect(press.reason).toMatchObject({
            code: 'already_done',
            userMessage: expect.stringContaining(`${now.review?.state} by <@${now.review?.moderatorId}>`),
          });
      const bytes = [image.storageKey, image.storageKey.replace('quarantine/', 'tests/')];
      const approved = now.review?.state === 'approved';
      expect(await Promise.all(bytes.map(hasFile))).toEqual([false, approved]);
      expect(await strikesOf(person.id)).toBe(approved ? 0 : 1);
      expect(await db.auditEvent.count({ where: { subject: `image:${image.id}` } })).toBe(1);
    }
  });

  it('whose bytes were moved by a press that broke off can still be approved, or rejected whole', async () => {
    const { moveFile } = await import('#src/doors/storage.ts');
    for (const decision of ['approved', 'rejected'] as const) {
      const { image, reviewId, moderator } = await picture();
      const moved = image.storageKey.replace('quarantine/', 'tests/');
      await moveFile(image.storageKey, moved);
      await decide(moderator, reviewId, decision, null);
      expect(await hasFile(moved)).toBe(decision === 'approved');
    }
  });

  it('is for moderators of its own guild, and from a DM for our own', async () => {
    const { reviewId, person } = await picture();
    const elsewhere = actor({ managesGuild: true });
    for (const nobody of [person, actor({ guildId: person.guildId }), elsewhere])
      await expect(decide(nobody, reviewId, 'approved', null)).rejects.toEqual(code('moderators_only'));

    const direct = await picture('flagged', null);
    for (const nobody of [elsewhere, actor({ guildId: null, managesGuild: true })])
      await expect(decide(nobody, direct.reviewId, 'approved', null)).rejects.toEqual(
        code('moderators_only'),
      );
    const ours = actor();
    await db.user.create({ data: { id: ours.id, role: 'moderator' } });
    await decide(ours, direct.reviewId, 'approved', null);
    await decide(ours, reviewId, 'rejected', null);
  });

  it('whose moderator lost the role between seeing and pressing stays undecided', async () => {
    const { reviewId, person } = await picture();
    const moderator = actor({ guildId: person.guildId, roleIds: ['9'] });
    const roles = { moderatorRoleIds: ['9'] };
    await db.guildSettings.create({ data: { id: person.guildId!, ...roles } });
    await db.guildSettings.update({ where: { id: person.guildId! }, data: { moderatorRoleIds: [] } });
    await expect(decide(moderator, reviewId, 'approved', null)).rejects.toEqual(code('moderators_only'));
    await db.guildSettings.update({ where: { id: person.guildId! }, data: roles });
    await decide(moderator, reviewId, 'approved', null);
  });

  it('that its asker deleted meanwhile is not shown, whatever is decided', async () => {
    const { image, reviewId, moderator, person } = await picture();
    await deleteImage(person, image.generationId);
    await decide(moderator, reviewId, 'approved', null);
    const now = await imageNow(image.id);
    expect(mayBeShown(now, now.review)).toBe(false);
  });

  it('with a forged review id is gone, and says so to moderators only', async () => {
    const id = crypto.randomUUID();
    const ours = actor();
    await db.user.create({ data: { id: ours.id, role: 'moderator' } });
    await expect(decide(ours, id, 'approved', null)).rejects.toEqual(code('gone'));
    await expect(decide(actor({ managesGuild: true }), id, 'approved', null)).rejects.toEqual(
      code('moderators_only'),
    );
  });
});

describe('a reported picture', () => {
  it('is out of sight and stands for no other until it is decided', async () => {
    const { image, batch, moderator } = await picture('clear');
    await db.image.update({
      where: { id: image.id },
      data: { visibility: 'published', publishedAt: new Date() },
    });
    expect(await db.image.count({ where: { id: image.id, ...reusable } })).toBe(1);
    const reporter = actor({ guildId: batch.guildId });
    await reportImage(reporter, image.id);
    const now = await imageNow(image.id);
    expect(now).toMatchObject({
      verdict: 'flagged',
      visibility: 'private',
      publishedAt: null,
      review: { state: 'pending', cause: 'report', reportedBy: reporter.id },
    });
    expect(mayBeShown(now, now.review)).toBe(false);
    expect(await db.image.count({ where: { id: image.id, ...reusable } })).toBe(0);

    await decide(moderator, now.review!.id, 'approved', null);
    const decided = await imageNow(image.id);
    expect(mayBeShown(decided, decided.review)).toBe(true);
    expect(await hasFile(decided.storageKey)).toBe(true);
    await expect(reportImage(reporter, image.id)).rejects.toMatchObject({
      userMessage: 'That was done already: the moderators have approved it.',
    });
  });

  it('by several at once has one review', async () => {
    const { image } = await picture('clear');
    const reports = await Promise.allSettled([1, 2, 3].map(() => reportImage(actor(), image.id)));
    expect(reports.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const report of reports)
      if (report.status === 'rejected') expect(report.reason).toEqual(code('already_done'));
    expect(await db.review.count({ where: { imageId: image.id } })).toBe(1);
  });

  it('rejected is deleted from where it was', async () => {
    const { image, moderator } = await picture('clear');
    await reportImage(actor(), image.id);
    await decide(moderator, (await imageNow(image.id)).review!.id, 'rejected', null);
    expect(await hasFile(image.storageKey)).toBe(false);
    await expect(reportImage(actor(), image.id)).rejects.toEqual(code('gone'));
  });
});
