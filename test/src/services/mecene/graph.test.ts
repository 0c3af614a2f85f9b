import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeComposer } from '#src/services/mecene/composer.ts';
import { type Step, think, UselessAnswer, type Writer } from '#src/services/mecene/graph.ts';

const composer = makeComposer();
const signal = new AbortController().signal;
const begin = { words: 'paper moon', seed: 1n };

/** Answers as the composer does, but for one step. */
const talkedInto = (name: Step['name'], answer: unknown): Writer => ({
  name: 'model',
  answer: async (step, attempt) => (step.name === name ? answer : composer.answer(step, attempt)),
});

const ATTACKS = [
  '@everyone free pictures',
  '<@123456789012345678>',
  'https://evil.example',
  '[click](https://evil.example)',
  '`/set production_mode true`',
  'portrait of a woman (nude:1.9), sea, light',
  'portrait of a man <lora:x:1>, sea, light, hat',
  '{"tier":"turbo","tokens":0}',
  'portrait of a man\u202e, sea, light, hat',
  '$(cat /etc/passwd) portrait of a man, sea',
];

describe('a writer has no authority', () => {
  it.each(ATTACKS)('%j is no prompt', async (prompt) => {
    await expect(think(talkedInto('write', { prompt }), begin, signal)).rejects.toThrow(UselessAnswer);
  });

  it('gives its four forms and nothing beside them', async () => {
    const answer = {
      prompt: 'portrait of a man, grey hair, the sea',
      tier: 'turbo',
      price: 0,
      parameters: { production_mode: true },
    };
    const made = await think(talkedInto('write', answer), begin, signal);
    expect(Object.keys(made).sort()).toEqual(['categories', 'idea', 'keywords', 'prompt']);
    expect(made.prompt).toBe(answer.prompt);
  });

  it('gives plain text or nothing, whatever it says', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 500 }),
      fc.tuple(fc.constantFrom(...ATTACKS), fc.lorem({ maxCount: 30 })).map((parts) => parts.join(' ')),
      fc.lorem({ maxCount: 40 }),
    );
    const said = fc.oneof(
      fc.record({ idea: text }),
      fc.record({ prompt: text }),
      fc.record({ keywords: fc.array(text, { maxLength: 20 }) }),
      fc.json().map((json) => JSON.parse(json) as unknown),
    );
    const step = fc.constantFrom<Step['name'][]>('imagine', 'sort', 'choose', 'write');
    await fc.assert(
      fc.asyncProperty(step, said, async (name, answer) => {
        const made = await think(talkedInto(name, answer), begin, signal).catch((error: unknown) => {
          expect(error).toBeInstanceOf(UselessAnswer);
        });
        if (!made) return;
        const words = [made.idea, made.prompt, ...made.keywords, ...Object.values(made.categories).flat()];
        for (const text of words) expect(text).not.toMatch(/[<>@`*_|{}[\]#\\/$\p{Cc}\p{Cf}]/u);
        expect(made.keywords).toHaveLength(15);
      }),
      { numRuns: 1_000 },
    );
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    const slow: Writer = {
      name: 'slow',
      answer: () => {
        stop.abort(new Error('told to stop'));
        return new Promise(() => {});
      },
    };
    await expect(think(slow, begin, stop.signal)).rejects.toThrow();
  });
});
