import { describe, expect, it } from 'vitest';
import { mayBeShown } from '#src/generations/images.ts';

describe('mayBeShown', () => {
  const image = (verdict: 'clear' | 'flagged', deleted = false) => ({
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
  ] as const)('of %j and a review that is %s: %s', (image, state, shown) => {
    expect(mayBeShown(image, state && { state })).toBe(shown);
  });
});
