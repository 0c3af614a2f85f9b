import { describe, expect, it } from 'vitest';
import {
  conceptsReached,
  facesMatter,
  judgedAgain,
  mayBeGlimpsed,
  verdictOf,
} from '#src/moderation/verdicts.ts';
import { usualPlace } from '#test/support/where.ts';

const board = (flagged: number) => ({ board: { normal: 1 - flagged, flagged } });
const nsfw = (Hentai: number, Porn: number, Sexy = 0) => ({
  nsfw: { Drawing: 0, Hentai, Neutral: 1 - Hentai - Porn - Sexy, Porn, Sexy },
});
const adult = [40];
const child = [17];

describe('verdictOf', () => {
  it('flags at the threshold and above, and says by which score, label and thresholds', () => {
    const clear = verdictOf({ scores: board(0.25), ages: [], concepts: {} }, usualPlace);
    expect(clear).toEqual({
      verdict: 'clear',
      scores: { 'board.normal': 0.75, 'board.flagged': 0.25 },
      rule: null,
      judged: {
        set: 'usual',
        score: null,
        label: null,
        thresholds: expect.stringMatching(/^[0-9a-f]{16}$/),
        face: false,
        minor: false,
        concepts: {},
      },
    });
    expect(verdictOf({ scores: board(0.5), ages: [], concepts: {} }, usualPlace)).toMatchObject({
      verdict: 'flagged',
      rule: 'classifier-flagged',
      judged: { set: 'usual', score: 'flagged', label: 'board.flagged' },
    });
  });

  it('adds up the labels of one score, of one classifier, and names the one with most of it', () => {
    expect(verdictOf({ scores: nsfw(0.3, 0.39), ages: [], concepts: {} }, usualPlace).verdict).toBe('clear');
    expect(verdictOf({ scores: nsfw(0.3, 0.4), ages: [], concepts: {} }, usualPlace)).toMatchObject({
      rule: 'classifier-adult',
      judged: { label: 'nsfw.Porn' },
    });
    const two = { one: nsfw(0.3, 0.3).nsfw, two: nsfw(0.3, 0.3).nsfw };
    expect(verdictOf({ scores: two, ages: [], concepts: {} }, usualPlace).verdict).toBe('clear');
  });

  it('hears every classifier, and keeps what all of them said', () => {
    const verdict = verdictOf(
      { scores: { ...board(0.1), ...nsfw(0.1, 0.7) }, ages: [], concepts: {} },
      usualPlace,
    );
    expect(verdict.rule).toBe('classifier-adult');
    expect(Object.keys(verdict.scores)).toHaveLength(7);
  });

  it('is stricter with a face, found or asked for', () => {
    const scores = nsfw(0, 0.5);
    expect(verdictOf({ scores, ages: [], concepts: {} }, usualPlace).verdict).toBe('clear');
    expect(verdictOf({ scores, ages: adult, concepts: {} }, usualPlace)).toMatchObject({
      rule: 'classifier-adult',
      judged: { set: 'withFace' },
    });
    expect(
      verdictOf({ scores, ages: adult, concepts: {} }, { ...usualPlace, faceAsked: true }).judged.set,
    ).toBe('withFace');
  });

  it.each([
    ['whose least age is 17', child],
    ['whose age nobody knows', [null]],
    ['among adults', [40, 17, 60]],
    ['that may be anybody, as nobody could look', null],
  ])('flags any adult score with a face %s', (_, ages) => {
    const possible = { verdict: 'flagged', judged: { set: 'maybeMinor' } };
    expect(verdictOf({ scores: nsfw(0.05, 0.05), ages, concepts: {} }, usualPlace)).toMatchObject({
      ...possible,
      rule: 'possible-minor',
    });
    // What is never held by itself counts here.
    expect(verdictOf({ scores: nsfw(0, 0, 0.4), ages, concepts: {} }, usualPlace)).toMatchObject(possible);
    expect(verdictOf({ scores: nsfw(0, 0, 0.4), ages: adult, concepts: {} }, usualPlace).verdict).toBe(
      'clear',
    );
    expect(verdictOf({ scores: nsfw(0.01, 0.01, 0.1), ages, concepts: {} }, usualPlace).verdict).toBe(
      'clear',
    );
  });

  it('takes a face that was asked for and is not found for one that may be under 18', () => {
    const asked = { ...usualPlace, faceAsked: true };
    expect(verdictOf({ scores: nsfw(0, 0.2), ages: [], concepts: {} }, asked).rule).toBe('possible-minor');
  });

  it('takes 18 for of age, and not a day less', () => {
    const ruleAt = (age: number) =>
      verdictOf({ scores: nsfw(0, 0.2), ages: [age], concepts: {} }, usualPlace).rule;
    expect([ruleAt(18), ruleAt(17.99)]).toEqual([null, 'possible-minor']);
  });

  it('is looser in an age-restricted channel, where there is no face', () => {
    const restricted = { ...usualPlace, ageRestricted: true };
    expect(verdictOf({ scores: nsfw(0, 0.8), ages: [], concepts: {} }, restricted).verdict).toBe('clear');
    expect(verdictOf({ scores: nsfw(0, 0.8), ages: [], concepts: {} }, usualPlace).verdict).toBe('flagged');
    expect(verdictOf({ scores: nsfw(0, 0.8), ages: adult, concepts: {} }, restricted).verdict).toBe(
      'flagged',
    );
  });

  it('holds what a guild wants held, and its thresholds are another hash', () => {
    const strict = { ...usualPlace, guild: { adult: 0.2, suggestive: 0.3 } };
    expect(verdictOf({ scores: nsfw(0, 0.2), ages: [], concepts: {} }, strict).rule).toBe('classifier-adult');
    expect(verdictOf({ scores: nsfw(0, 0, 0.3), ages: [], concepts: {} }, strict).rule).toBe(
      'classifier-suggestive',
    );
    const hashes = [usualPlace, strict].map(
      (where) => verdictOf({ scores: board(0), ages: [], concepts: {} }, where).judged,
    );
    expect(hashes[0]!.thresholds).not.toBe(hashes[1]!.thresholds);
  });

  it.each([
    ['nothing', {}],
    ['nothing, one of two', { ...board(0), other: null }],
    ['no score', { board: {} }],
    ['other labels', { board: { good: 0.9, bad: 0.1 } }],
    ['NaN', { board: { normal: 0.9, flagged: Number.NaN } }],
    ['NaN elsewhere', { board: { normal: Number.NaN, flagged: 0.1 } }],
    ['a score below 0', { board: { flagged: -0.1 } }],
    ['infinity', { board: { flagged: Number.POSITIVE_INFINITY } }],
  ])('flags when a classifier said %s', (_, scores) => {
    expect(verdictOf({ scores, ages: [], concepts: {} }, usualPlace)).toMatchObject({
      verdict: 'flagged',
      rule: 'classifier-failed',
    });
    expect(mayBeGlimpsed(scores, usualPlace)).toBe(false);
    expect(facesMatter(scores, usualPlace)).toBe(false);
  });
});

describe('concepts that a prompt comes near to', () => {
  const near = (score: number) => ({
    gore: { score, threshold: 0.1 },
    hate: { score: -0.4, threshold: -0.3 },
  });
  const ruleOf = (concepts: Parameters<typeof verdictOf>[0]['concepts'], where = usualPlace, flagged = 0) =>
    verdictOf({ scores: board(flagged), ages: [], concepts }, where).rule;

  it('hold its picture from the threshold on, wherever it was asked for, and what failed holds it too', () => {
    for (const where of [
      usualPlace,
      { ...usualPlace, ageRestricted: true },
      { ...usualPlace, faceAsked: true },
      { ...usualPlace, guild: { flagged: 1 } },
    ]) {
      expect([0.0999, 0.1].map((score) => ruleOf(near(score), where))).toEqual([null, 'concept-gore']);
      expect(ruleOf(null, where)).toBe('concepts-failed');
    }
    expect(ruleOf({ gore: { score: Number.NaN, threshold: 0.1 } })).toBe('concept-gore');
    expect(ruleOf({ ...near(0.2), hate: { score: 0.9, threshold: 0.1 } })).toBe('concept-hate');
  });

  it('are told after what was seen in the picture, and kept beside it', () => {
    const concepts = near(0.2);
    const verdict = verdictOf({ scores: board(0.9), ages: [], concepts }, usualPlace);
    expect(verdict).toMatchObject({ rule: 'classifier-flagged', judged: { concepts } });
    expect(conceptsReached(verdict.judged.concepts)).toEqual([{ name: 'gore', score: 0.2, threshold: 0.1 }]);
  });

  it('hold a copy of it, and what was kept before there were any is judged by the rest', () => {
    for (const concepts of [near(0.2), near(0), null]) {
      const kept = verdictOf({ scores: board(0), ages: [], concepts }, usualPlace);
      expect(judgedAgain(kept, usualPlace)).toEqual(kept);
    }
    const { judged, ...kept } = verdictOf({ scores: board(0), ages: [], concepts: {} }, usualPlace);
    const { concepts: _, ...older } = judged;
    expect(judgedAgain({ ...kept, judged: older }, usualPlace)?.verdict).toBe('clear');
  });
});

it('faces matter where they could change anything, and nowhere else', () => {
  expect(facesMatter(nsfw(0.01, 0.01), usualPlace)).toBe(false);
  expect(facesMatter(nsfw(0, 0.2), usualPlace)).toBe(true);
  for (let porn = 0; porn < 1; porn += 0.05) {
    const scores = nsfw(0, porn);
    const verdicts = [[], adult, child].map(
      (ages) => verdictOf({ scores, ages, concepts: {} }, usualPlace).verdict,
    );
    if (!facesMatter(scores, usualPlace)) expect(new Set(verdicts)).toEqual(new Set(['clear']));
  }
});

describe('judgedAgain', () => {
  const kept = (porn: number, ages: number[] | null, where = usualPlace) =>
    verdictOf({ scores: nsfw(0, porn), ages, concepts: {} }, where);

  it('gives the same verdict in the same place', () => {
    for (const ages of [null, [], adult, child])
      for (const porn of [0.05, 0.3, 0.6, 0.9])
        expect(judgedAgain(kept(porn, ages), usualPlace)).toEqual(kept(porn, ages));
  });

  it('does not take what was clear among adults for clear elsewhere, nor in a stricter guild', () => {
    const among = kept(0.8, [], { ...usualPlace, ageRestricted: true });
    expect(among.verdict).toBe('clear');
    expect(judgedAgain(among, usualPlace)?.verdict).toBe('flagged');
    const usual = kept(0.3, []);
    expect(judgedAgain(usual, { ...usualPlace, guild: { adult: 0.3 } })?.verdict).toBe('flagged');
  });

  it('takes for the strictest what nobody looked at', () => {
    const unseen = kept(0.05, null);
    expect(unseen.judged.face).toBeNull();
    expect(judgedAgain(unseen, { ...usualPlace, ageRestricted: true, guild: { adult: 0.05 } })).toMatchObject(
      {
        rule: 'possible-minor',
      },
    );
  });

  it('knows nothing of what was kept before', () => {
    expect(judgedAgain({ scores: { normal: 0.9, flagged: 0.1 }, judged: {} }, usualPlace)).toBeNull();
  });
});
