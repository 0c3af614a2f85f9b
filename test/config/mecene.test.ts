import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseYaml } from '#config/load.ts';
import { MeceneFile, vocabulary } from '#config/mecene.ts';
import { checkPrompt } from '#src/moderation/words.ts';

const text = readFileSync(new URL('../../config/mecene.yaml', import.meta.url), 'utf8');

describe('config/mecene.yaml', () => {
  it('has nothing that the rules for prompts refuse', () => {
    for (const scene of Object.values(vocabulary.scenes)) {
      for (const list of Object.values(scene))
        for (const word of list) expect(() => checkPrompt(word)).not.toThrow();
    }
  });

  it('has no checkered pattern', () => {
    expect(text).not.toMatch(/check(er|board)|chequer/i);
  });

  it('is refused with the line and what was expected', () => {
    const broken = text.replace('garments: [coat', 'garments: [Coat!');
    const line = broken.split('\n').findIndex((row) => row.startsWith('garments')) + 1;
    expect(() => parseYaml(broken, MeceneFile, 'mecene.yaml')).toThrow(
      `mecene.yaml:${line}: garments.0: must be 1 to 40 lower-case letters`,
    );
    expect(() => parseYaml(`${text}extra: 1\n`, MeceneFile, 'mecene.yaml')).toThrow(/extra/);
  });
});
