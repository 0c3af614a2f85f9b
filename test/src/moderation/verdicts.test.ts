import { describe, expect, it } from 'vitest';
import { verdictOf } from '#src/moderation/verdicts.ts';

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
