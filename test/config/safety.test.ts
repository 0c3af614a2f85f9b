import { describe, expect, it } from 'vitest';
import { safety } from '#config/safety.ts';
import { UserError } from '#src/errors.ts';
import { checkPrompt } from '#src/moderation/words.ts';

/** What `checkPrompt` says of a prompt; null: it may be drawn. */
function says(prompt: string): string | null {
  try {
    checkPrompt(prompt);
    return null;
  } catch (error) {
    if (error instanceof UserError) return error.userMessage;
    throw error;
  }
}

describe('config/safety.yaml', () => {
  const rules = Object.entries(safety.rules);

  it.each(rules)('%s: every word of it fires, with every word it needs beside it', (_, { any, both }) => {
    for (const phrase of any) {
      for (const other of both ?? [''])
        expect(says(`a ${other} portrait, ${phrase}, oil`), `${phrase} ${other}`).not.toBeNull();
    }
  });

  it.each(rules)('%s: says what is wrong, politely and as the end of a sentence', (_, rule) => {
    expect(rule.says).toMatch(/^it [a-z].*\.$/);
  });

  it.each(safety.harmless)('lets a girl be drawn with: %s', (phrase) => {
    expect(says(`a girl, ${phrase}, oil`)).toBeNull();
    expect(says(`a girl, ${phrase}, naked`)).not.toBeNull();
  });

  it.each(rules)('%s: names nothing twice', (_, { any, both = [] }) => {
    for (const list of [any, both]) expect(new Set(list).size).toBe(list.length);
  });
});
