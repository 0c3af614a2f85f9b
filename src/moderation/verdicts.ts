/**
 * What image classifiers' scores mean: which set of thresholds a picture is held against, and whether it is clear.
 *
 * Everything here errs on one side. A classifier that failed, or says nothing that anybody knows, means flagged; where nobody looked for
 * faces, or could, there is one; and a face whose age nobody knows may be a child's. A face is never held against looser thresholds than
 * `withFace`: `setFor` alone chooses, and knows of no parameter, tier or mode that could (test/src/moderation/option-space.test.ts).
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { SafetyFile, Score } from '#config/safety.ts';
import type { Verdict } from '#src/doors/db.ts';
import { fileInForce } from './standing.ts';

/** One of the sets of config/safety.yaml. */
export type ThresholdSet = Exclude<keyof Score, 'labels'>;

/** Score → at or above it a picture is held for review. What a guild wants held beyond the platform's. */
export type GuildThresholds = Readonly<Record<string, number>>;
export const GuildThresholds = z.record(z.string(), z.number().gt(0).max(1));

/** What a picture was asked for with, as far as it matters here. */
export interface Circumstances {
  /** in a channel that Discord lets only adults into */
  readonly ageRestricted: boolean;
  /** with a face folder */
  readonly faceAsked: boolean;
  readonly guild: GuildThresholds;
  /** other than those in force, for who wants to know what they would say */
  readonly platform?: SafetyFile['scores'];
}

/** What of a generation matters here, and nothing else of it does. */
export function circumstancesOf(
  asked: { readonly faceId: string | null; readonly batch: { readonly ageRestricted: boolean } },
  guild: GuildThresholds,
): Circumstances {
  return { ageRestricted: asked.batch.ageRestricted, faceAsked: asked.faceId !== null, guild };
}

/** Classifier → label → 0…1; null: it failed. As `Scores` of pipelines/portrait.ts. */
type Scores = Readonly<Record<string, Readonly<Record<string, number>> | null>>;
/** Years that each face has at least; null in it: nobody knows; null: nobody was looked for. As `Ages` there. */
type Ages = readonly (number | null)[] | null;

/** How near a prompt comes to a concept of config/safety.yaml, and from where on that counts, which the bundle says: it measures. */
const Nearness = z.object({ score: z.number(), threshold: z.number() });
const Concepts = z.record(z.string(), Nearness).nullable();
/** Concept → how near the prompt comes to it; of those that the bundle has a threshold for. null: nobody could say. */
export type Concepts = z.output<typeof Concepts>;

/** What was seen in a picture, and in its prompt. */
export interface SeenIn {
  readonly scores: Scores;
  readonly ages: Ages;
  readonly concepts: Concepts;
}

/** How a verdict came about; kept with it, so that it can be told, and judged again by other thresholds. */
export const Judgement = z.object({
  set: z.enum(['usual', 'ageRestricted', 'withFace', 'maybeMinor']),
  /** which score held it; null: none did */
  score: z.string().nullable(),
  /** of that score, the classifier's label with the most of it */
  label: z.string().nullable(),
  /** hash of the thresholds, the platform's and the guild's */
  thresholds: z.string(),
  /** whether a face was seen; null: nobody looked, as it was clear with any face */
  face: z.boolean().nullable(),
  /** whether one of them may be under 18; null: as `face` */
  minor: z.boolean().nullable(),
  concepts: Concepts.default({}),
});
export type Judgement = z.output<typeof Judgement>;

export interface ImageVerdict {
  readonly verdict: Verdict;
  /** `classifier.label` → 0…1, of all classifiers that said something */
  readonly scores: Record<string, number>;
  /**
   * `possible-minor`, `classifier-failed`, or `classifier-` and the score that held it; `concepts-failed`, or `concept-` and the concept
   * that the prompt comes near to; null: clear
   */
  readonly rule: string | null;
  readonly judged: Judgement;
}

const ADULT_AGE = 18;

/** Which thresholds count. Faces decide first, so that no channel's setting is ever asked where there is one. */
export function setFor(people: People, ageRestricted: boolean): ThresholdSet {
  if (people.minor) return 'maybeMinor';
  if (people.face) return 'withFace';
  return ageRestricted ? 'ageRestricted' : 'usual';
}

/** Of what a set has no number for, a looser one's counts. A guild's counts beside it: whichever is lower. null: it holds nothing */
export function thresholdOf(
  name: string,
  set: ThresholdSet,
  guild: GuildThresholds,
  scores = fileInForce().scores,
): number | null {
  const score = scores[name];
  const { usual, ageRestricted = usual, withFace = usual, maybeMinor } = score ?? {};
  const platform = { usual, ageRestricted, withFace, maybeMinor }[set];
  const least = Math.min(platform ?? Number.POSITIVE_INFINITY, guild[name] ?? Number.POSITIVE_INFINITY);
  return Number.isFinite(least) ? least : null;
}

interface People {
  readonly face: boolean;
  readonly minor: boolean;
}

/** Who may be in it. Asked for with a face, there is one, whatever the detector sees; of one that nobody sees nobody knows the age. */
function peopleIn(ages: NonNullable<Ages>, { faceAsked }: Circumstances): People {
  if (!ages.length) return { face: faceAsked, minor: faceAsked };
  return { face: true, minor: !ages.every((age) => age !== null && age >= ADULT_AGE) };
}

/** What scores, faces and concepts mean where it was asked for. */
export function verdictOf({ scores, ages, concepts }: SeenIn, where: Circumstances): ImageVerdict {
  return withConcepts(judge(scores, ages ? peopleIn(ages, where) : null, where), concepts);
}

/** The concepts that a prompt comes near enough to, the nearest first. */
export function conceptsReached(concepts: Concepts): { name: string; score: number; threshold: number }[] {
  const beyond = (one: { score: number; threshold: number }) => one.score - one.threshold;
  return Object.entries(concepts ?? {})
    .map(([name, one]) => ({ name, ...one }))
    .filter((one) => !(beyond(one) < 0))
    .sort((a, b) => beyond(b) - beyond(a));
}

/** Why a picture of such a prompt is held, whatever is in it, wherever and by whomever it was asked for. null: it is not for that */
export function ruleOfConcepts(concepts: Concepts): string | null {
  if (concepts === null) return 'concepts-failed';
  const [nearest] = conceptsReached(concepts);
  return nearest ? `concept-${nearest.name}` : null;
}

/** What was seen of the picture is told first: it says more. */
function withConcepts(verdict: Omit<ImageVerdict, 'judged'> & { judged: OfPicture }, concepts: Concepts) {
  const judged: Judgement = { ...verdict.judged, concepts };
  const rule = verdict.rule ?? ruleOfConcepts(concepts);
  return { ...verdict, judged, rule, verdict: rule === null ? ('clear' as const) : ('flagged' as const) };
}

type OfPicture = Omit<Judgement, 'concepts'>;

/** By the picture alone. @param people null: nobody looked */
function judge(
  scores: Scores,
  people: People | null,
  where: Circumstances,
): Omit<ImageVerdict, 'judged'> & { readonly judged: OfPicture } {
  const { guild, ageRestricted, platform = fileInForce().scores } = where;
  const { face, minor } = people ?? { face: null, minor: null };
  const set = setFor(people ?? { face: true, minor: true }, ageRestricted);
  const thresholds = thresholdsHash(guild, platform);
  const kept = flat(scores);
  const judged = { set, score: null, label: null, thresholds, face, minor };
  if (!isUseful(scores, platform))
    return { verdict: 'flagged', scores: kept, rule: 'classifier-failed', judged };
  for (const { name, label, value } of namedScores(scores, platform)) {
    const least = thresholdOf(name, set, guild, platform);
    if (least === null || value < least) continue;
    const rule = set === 'maybeMinor' ? 'possible-minor' : `classifier-${name}`;
    return { verdict: 'flagged', scores: kept, rule, judged: { ...judged, score: name, label } };
  }
  return { verdict: 'clear', scores: kept, rule: null, judged };
}

/** Whether it matters who is in a picture with these scores: not where it is clear with any face, nor where a classifier failed. */
export function facesMatter(scores: Scores, where: Circumstances): boolean {
  const { verdict, rule } = judge(scores, null, where);
  return verdict === 'flagged' && rule !== 'classifier-failed';
}

/** Whether a preview may be seen: as a picture in which a child may be, which is what its few pixels can't tell. */
export const mayBeGlimpsed = (scores: Scores, where: Circumstances): boolean =>
  judge(scores, null, where).verdict === 'clear';

/**
 * What a verdict that was given before is, by the thresholds of now and of another place. null: what was kept of it does not say enough, as
 * of pictures before these were kept.
 */
export function judgedAgain(
  kept: { readonly scores: unknown; readonly judged: unknown },
  where: Circumstances,
): ImageVerdict | null {
  const { data: judged } = Judgement.safeParse(kept.judged);
  const { data: scores } = z.record(z.string(), z.number()).safeParse(kept.scores);
  if (!judged || !scores) return null;
  const { face, minor, concepts } = judged;
  const { faceAsked } = where;
  const people =
    face === null || minor === null
      ? null
      : { face: face || faceAsked, minor: minor || (faceAsked && !face) };
  return withConcepts(judge(nested(scores), people, where), concepts);
}

/** Whether a bundle's classifier has a label that the rules in force know: without one it holds every picture. */
export const isKnownByLabel = (labels: readonly string[], platform = fileInForce().scores): boolean =>
  knownLabels(platform).some((label) => labels.includes(label));
export const knownLabels = (platform = fileInForce().scores): string[] =>
  Object.values(platform).flatMap(({ labels }) => labels);

const isScore = (value: number) => value >= 0 && value <= 1;

/** Whether there is a classifier, and each of them said something that is known. */
function isUseful(scores: Scores, platform: SafetyFile['scores']): boolean {
  const all = Object.values(scores);
  return (
    all.length > 0 &&
    all.every(
      (one) =>
        one !== null && Object.values(one).every(isScore) && isKnownByLabel(Object.keys(one), platform),
    )
  );
}

/** What each classifier gives to each score that it has labels of: the score's name, its value, and the label with the most of it. */
function namedScores(
  scores: Scores,
  platform: SafetyFile['scores'],
): { name: string; label: string; value: number }[] {
  return Object.entries(scores).flatMap(([classifier, given]) =>
    Object.entries(platform).flatMap(([name, { labels }]) => {
      const mine = labels
        .flatMap((label) =>
          given && Object.hasOwn(given, label) ? [{ label, value: given[label] ?? 1 }] : [],
        )
        .sort((a, b) => b.value - a.value);
      const [most] = mine;
      const value = mine.reduce((sum, one) => sum + one.value, 0);
      return most ? [{ name, label: `${classifier}.${most.label}`, value }] : [];
    }),
  );
}

function flat(scores: Scores): Record<string, number> {
  const pairs = Object.entries(scores).flatMap(([classifier, given]) =>
    Object.entries(given ?? {}).map(([label, value]) => [`${classifier}.${label}`, value] as const),
  );
  return Object.fromEntries(pairs.filter(([, value]) => isScore(value)));
}

/** A label from before classifiers had names belongs to none, so that nothing is known of it. */
function nested(kept: Readonly<Record<string, number>>): Scores {
  const named = Object.entries(kept).filter(([key]) => key.includes('.'));
  const classifierOf = (key: string) => key.slice(0, key.indexOf('.'));
  const byClassifier = Map.groupBy(named, ([key]) => classifierOf(key));
  return Object.fromEntries(
    [...byClassifier].map(([classifier, pairs]) => [
      classifier,
      Object.fromEntries(pairs.map(([key, value]) => [key.slice(classifier.length + 1), value])),
    ]),
  );
}

/** Guild's thresholds → the platform's that they are beside, and a hash of both: they are asked for with every picture. */
const hashes = new WeakMap<
  GuildThresholds,
  { readonly beside: SafetyFile['scores']; readonly hash: string }
>();

function thresholdsHash(guild: GuildThresholds, platform: SafetyFile['scores']): string {
  const known = hashes.get(guild);
  if (known?.beside === platform) return known.hash;
  const own = Object.entries(guild).sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash('sha256')
    .update(JSON.stringify([platform, own]))
    .digest('hex')
    .slice(0, 16);
  hashes.set(guild, { beside: platform, hash });
  return hash;
}
