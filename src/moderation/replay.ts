/**
 * What other rules and thresholds would have said of what was asked for and drawn: by the prompts and scores that are kept, and by what
 * people decided on the pictures since. What rules refused is kept nowhere, so what others would let through is only known of what was
 * counted while they looked on (rule-counts.ts).
 */
import type { SafetyFile } from '#config/safety.ts';
import { db } from '#src/doors/db.ts';
import { type Share, shareOf } from '#src/intervals.ts';
import { fold } from './folding.ts';
import { FOLDED_MAX, type RuleSet } from './rule-set.ts';
import { judgedAgain } from './verdicts.ts';

/** What one rule says differently. */
export interface Changed {
  readonly rule: string;
  readonly count: number;
  /** of those that people decided on, the ones they rejected: where more is refused, how often that is right; where less, how often wrong */
  readonly rejected: Share;
}

export interface Replay {
  /** that were drawn, each once however often that was */
  readonly prompts: number;
  /** by the rule that would refuse them, the most frequent first */
  readonly refused: readonly Changed[];
  /** of all */
  readonly share: Share;
}

export interface PictureReplay {
  /** of which enough is kept to judge them again */
  readonly pictures: number;
  /** clear until now, by the rule that would hold them */
  readonly held: readonly Changed[];
  /** held until now, by the rule that did */
  readonly letThrough: readonly Changed[];
}

/** Read at once. Beside a prompt a row has little. */
const PAGE = 5_000;

/** What people said of a picture. */
type Decided = 'rejected' | 'approved' | null;

/** What rules would have said of the prompts of that many generations, the newest. */
export async function replay(next: RuleSet, last: number): Promise<Replay> {
  const prompts = new Map<string, Decided>();
  for await (const { prompt, image } of lastDrawn(last)) {
    const known = prompts.get(prompt) ?? null;
    // Once rejected counts, however often others of it were let through.
    prompts.set(prompt, known === 'rejected' ? known : (decisionOn(image) ?? known));
  }
  const refused = new Tally();
  for (const [prompt, decided] of prompts) {
    const folded = fold(prompt, FOLDED_MAX);
    const rule = folded && next.gates.prompts(folded)?.rule.id;
    if (rule) refused.add(rule, decided);
  }
  return { prompts: prompts.size, refused: refused.byRule(), share: shareOf(refused.count, prompts.size) };
}

/** What thresholds would have said of the pictures of that many generations, the newest. What guilds hold beyond them is left out. */
export async function replayPictures(platform: SafetyFile['scores'], last: number): Promise<PictureReplay> {
  const [held, letThrough] = [new Tally(), new Tally()];
  let pictures = 0;
  for await (const { faceId, batch, image } of lastDrawn(last)) {
    if (!image) continue;
    const where = { ageRestricted: batch.ageRestricted, faceAsked: faceId !== null, guild: {} };
    const now = judgedAgain(image, where);
    const then = judgedAgain(image, { ...where, platform });
    if (!now || !then) continue;
    pictures++;
    if (now.verdict === then.verdict) continue;
    if (then.rule !== null) held.add(then.rule, decisionOn(image));
    else letThrough.add(now.rule ?? '', decisionOn(image));
  }
  return { pictures, held: held.byRule(), letThrough: letThrough.byRule() };
}

class Tally {
  readonly #decisions = new Map<string, Decided[]>();
  count = 0;

  add(rule: string, decided: Decided): void {
    this.count++;
    const known = this.#decisions.get(rule);
    if (known) known.push(decided);
    else this.#decisions.set(rule, [decided]);
  }

  byRule(): Changed[] {
    return [...this.#decisions]
      .map(([rule, decisions]) => {
        const known = decisions.filter((one) => one !== null);
        const rejected = known.filter((one) => one === 'rejected');
        return { rule, count: decisions.length, rejected: shareOf(rejected.length, known.length) };
      })
      .sort((a, b) => b.count - a.count);
  }
}

/** A yes for the gallery is a decision as well. */
function decisionOn(image: { publishedAt: Date | null; review: { state: string } | null } | null): Decided {
  const state = image?.review?.state;
  if (state === 'rejected') return state;
  return state === 'approved' || image?.publishedAt ? 'approved' : null;
}

/** By the primary key, which rises with time. */
async function* lastDrawn(last: number) {
  let before: string | undefined;
  for (let left = last; left > 0; left -= PAGE) {
    const take = Math.min(PAGE, left);
    const page = await db.generation.findMany({
      where: before === undefined ? {} : { id: { lt: before } },
      orderBy: { id: 'desc' },
      take,
      select: {
        id: true,
        prompt: true,
        faceId: true,
        batch: { select: { ageRestricted: true } },
        image: {
          select: { scores: true, judged: true, publishedAt: true, review: { select: { state: true } } },
        },
      },
    });
    yield* page;
    if (page.length < take) return;
    before = page.at(-1)?.id;
  }
}
