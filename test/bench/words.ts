/** The prompt rules, on text that is built to keep them busy, beside an ordinary prompt of the same length. */
import { checkPrompt } from '#src/moderation/words.ts';
import { type Goal, say } from './goal.ts';

const ORDINARY = 'portrait of a woman with long red hair in a garden at noon, oil on canvas, soft light, ';
const HOSTILE: Readonly<Record<string, string>> = {
  'single letters': 'a '.repeat(500),
  dots: '.'.repeat(1_000),
  'a rule, letter by letter': 'n u d '.repeat(160),
  'signs that are two letters': '1!|'.repeat(333),
  'letters with dots': 'a.'.repeat(500),
  'characters that stand for eighteen, as many as are read': 'ﷺ'.repeat(222),
  'more of them': 'ﷺ'.repeat(990),
  'numbers that stand for two characters': '⒈⒈ '.repeat(333),
  'beginnings of rules': 'masturbatio'.repeat(90),
  'rules, one letter wrong': 'pornographc '.repeat(83),
  'a rule again and again': 'nude '.repeat(200),
  Russian: 'сексуальный '.repeat(83),
  'all readings at once': 'n1|!ud€\u202eедun ɐ&#110; '.repeat(40).slice(0, 1_000),
};
const ROUNDS = 30;

function msOf(text: string): number {
  const before = performance.now();
  try {
    checkPrompt(text);
  } catch {
    // refused, which takes as long
  }
  return performance.now() - before;
}

/** The least of the rounds: what else runs on the machine takes longer than a prompt. */
const leastMs = (text: string) => Math.min(...Array.from({ length: ROUNDS }, () => msOf(text)));

export async function words(): Promise<readonly Goal[]> {
  const ordinary = ORDINARY.repeat(12).slice(0, 1_000);
  msOf(ordinary);
  const usual = leastMs(ordinary);
  say('an ordinary prompt of 1,000', `${usual.toFixed(2)} ms`);
  let worst = 0;
  for (const [name, text] of Object.entries(HOSTILE)) {
    const ms = leastMs(text);
    worst = Math.max(worst, ms);
    say(name, `${ms.toFixed(2)} ms, ${(ms / usual).toFixed(1)}×`);
  }
  say('a million letters', `${leastMs('x'.repeat(1e6)).toFixed(2)} ms`);
  return [{ name: 'the worst, ms', got: worst, atMost: 5 }];
}
