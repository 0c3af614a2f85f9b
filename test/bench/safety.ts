/**
 * What the prompt rules catch, by ways to disguise their words; what they stop that means no harm; how long they take. The words are
 * those of config/safety.yaml, so new ones are tried as soon as they are there.
 */
import { readFileSync } from 'node:fs';
import { cleanPrompts, english, safety as file } from '#config/safety.ts';
import { UserError } from '#src/errors.ts';
import { checkPrompt } from '#src/moderation/words.ts';
import { mulberry32 } from '#src/mulberry32.ts';
import { type Goal, say } from './goal.ts';
import { disguises } from './safety/disguises.ts';

const TRIES = 14_000;
/** In a phrase that means no harm by itself. */
const FRAMES = [
  'portrait of a %, oil on canvas',
  '%',
  'a woman in a garden, %, soft light, 8k',
  'photo of two people, %',
  'the sea at dawn with a % in front',
];
/** of what a class missed */
const SHOWN = 3;

/** What stops a prompt that has it, and needs nothing else there. */
function phrases(): string[] {
  const own = Object.values(file.rules).flatMap(({ any, both }) =>
    both ? both.map((word) => `${word} in lingerie`) : any,
  );
  return [...new Set(own)].filter((phrase) => /^[a-z]+(?: [a-z]+)*$/.test(phrase) && !/\*/.test(phrase));
}

function isStopped(prompt: string): boolean {
  try {
    checkPrompt(prompt);
    return false;
  } catch (error) {
    if (error instanceof UserError) return error.code === 'prompt_blocked';
    throw error;
  }
}

export async function safety(): Promise<readonly Goal[]> {
  const random = mulberry32(20_261_201);
  const all = phrases();
  const innocent = new Set([...english.innocent, ...file.names]);
  const goals: Goal[] = [];
  const times: number[] = [];
  const timed = (prompt: string) => {
    let least = Number.POSITIVE_INFINITY;
    let stopped = false;
    // The least of three: what else runs on the machine takes longer than any of them.
    for (let i = 0; i < 3; i++) {
      const before = performance.now();
      stopped = isStopped(prompt);
      least = Math.min(least, performance.now() - before);
    }
    times.push(least);
    return stopped;
  };
  const classes = Object.entries(disguises);
  const each = Math.ceil(TRIES / classes.length);
  for (const [name, { disguise, lost, minLetters = 2, phrases: many, oneWord }] of classes) {
    const fitting = all.filter((phrase) => {
      const words = phrase.replace(/ in lingerie$/, '').split(' ');
      return (
        Math.max(...words.map((word) => word.length)) >= minLetters &&
        (!many || words.length > 1) &&
        (!oneWord || words.length === 1)
      );
    });
    const missed: string[] = [];
    for (let i = 0; i < each; i++) {
      const phrase = fitting[i % fitting.length] ?? '';
      const [, word = '', rest = ''] = /^(.*?)( in lingerie)?$/.exec(phrase) ?? [];
      const disguised = disguise(word, random);
      // "girlish" is a word of its own.
      if (['endings', 'backwards'].includes(name) && innocent.has(disguised)) continue;
      const prompt = FRAMES[Math.floor(random() * FRAMES.length)]!.replace('%', () => disguised + rest);
      if (!timed(prompt)) missed.push(prompt);
    }
    for (const prompt of missed.slice(0, SHOWN)) say('  missed', prompt);
    goals.push({
      name: `${name}, % caught`,
      got: 100 * (1 - missed.length / each),
      atLeast: lost ? 98 : 99.9,
    });
  }
  const tricky = readFileSync(new URL('./safety/tricky.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter(Boolean);
  for (const [name, prompts, atMost] of [
    ['ordinary', cleanPrompts, 0],
    ['tricky', tricky, 5],
  ] as const) {
    const alarms = prompts.filter(timed);
    for (const prompt of alarms) say('  alarm', prompt);
    say(`${name} clean prompts`, String(prompts.length));
    goals.push({ name: `${name} prompts, % stopped`, got: (100 * alarms.length) / prompts.length, atMost });
  }
  times.sort((a, b) => a - b);
  say('tries', String(times.length));
  say('median', `${times[times.length >> 1]?.toFixed(3)} ms`);
  goals.push({
    name: 'the slowest of a hundred, ms',
    got: times[Math.floor(times.length * 0.99)] ?? Number.NaN,
    atMost: 1,
  });
  return goals;
}
