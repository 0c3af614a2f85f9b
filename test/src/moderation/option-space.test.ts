/**
 * A picture with a face never runs with adult settings: over every option that there is, not some of them. Whatever a person, a channel, a
 * guild or a tier can set is in one of the lists here; what is in none of them is not read, which the traps prove.
 */
import { describe, expect, it } from 'vitest';
import { safety } from '#config/safety.ts';
import {
  circumstancesOf,
  type GuildThresholds,
  judgedAgain,
  mayBeGlimpsed,
  setFor,
  thresholdOf,
  verdictOf,
} from '#src/moderation/verdicts.ts';

/** All that is kept of a generation, which throws when anything but its face is asked for. */
function generation(faceId: string | null, ageRestricted: boolean) {
  const trap = <T extends object>(open: T): T =>
    new Proxy(open, {
      get(target, key) {
        if (!(key in target)) throw new Error(`${String(key)} is read`);
        return Reflect.get(target, key);
      },
    });
  return trap({ faceId, batch: trap({ ageRestricted }) });
}

/** Every kind of what is seen of the people in a picture: nobody looked, nobody there, one, several, of every kind of age. */
const ages = [null, 0, 17, 18, 90] as const;
const people: readonly (readonly (number | null)[] | null)[] = [
  null,
  [],
  ...ages.map((age) => [age]),
  ...ages.flatMap((one, i) => ages.slice(i).map((other) => [one, other])),
];
/** Every guild: each score unset, or at its least and at its most, the most loose ones too; in all combinations. */
const guilds = Object.keys(safety.scores).reduce<GuildThresholds[]>(
  (all, name) => all.flatMap((one) => [one, ...[0.01, 1].map((value) => ({ ...one, [name]: value }))]),
  [{}],
);
const labels = Object.values(safety.scores).flatMap((score) => score.labels);
/** Every threshold that there is, and what is just below it: between two of them nothing changes. */
const values = [
  ...new Set(
    Object.values(safety.scores).flatMap(({ labels: _, ...sets }) =>
      [...Object.values(sets), 0.01, 1].flatMap((threshold = 1) => [threshold, threshold - 1e-9]),
    ),
  ),
];
const holds = (name: string, set: Parameters<typeof thresholdOf>[1], guild: GuildThresholds) =>
  thresholdOf(name, set, guild) ?? Number.POSITIVE_INFINITY;

describe('over the whole option space', () => {
  it('has settings for adults that are looser than others, so that there is something to prove', () => {
    const names = Object.keys(safety.scores);
    expect(names.some((name) => holds(name, 'ageRestricted', {}) > holds(name, 'withFace', {}))).toBe(true);
    expect(labels.length).toBeGreaterThan(3);
  });

  it('no set is looser than what it must be no looser than, in any guild', () => {
    for (const guild of guilds) {
      for (const name of Object.keys(safety.scores)) {
        const [minor, face, usual, adults] = (
          ['maybeMinor', 'withFace', 'usual', 'ageRestricted'] as const
        ).map((set) => holds(name, set, guild)) as [number, number, number, number];
        expect(minor).toBeLessThanOrEqual(face);
        expect(face).toBeLessThanOrEqual(usual);
        expect(usual).toBeLessThanOrEqual(adults);
        // A guild is never looser than the platform.
        expect(face).toBeLessThanOrEqual(holds(name, 'withFace', {}));
        expect(adults).toBeLessThanOrEqual(holds(name, 'ageRestricted', {}));
      }
    }
  });

  it('the set of a picture with a face is never one without', () => {
    for (const face of [true, false])
      for (const minor of [true, false])
        for (const ageRestricted of [true, false]) {
          const set = setFor({ face, minor }, ageRestricted);
          if (face || minor) expect(['withFace', 'maybeMinor']).toContain(set);
          if (minor) expect(set).toBe('maybeMinor');
        }
  });

  it('a verdict on a picture with a face is what the stricter sets say, whatever else was set', () => {
    let looked = 0;
    for (const faceId of [null, 'somebody'])
      for (const ageRestricted of [false, true])
        for (const guild of guilds)
          for (const seen of people) {
            const where = circumstancesOf(generation(faceId, ageRestricted), guild);
            const hasFace = faceId !== null || seen === null || seen.length > 0;
            for (const [name, score] of Object.entries(safety.scores))
              for (const value of values) {
                looked++;
                const scores = { one: { other: 1 - value, [score.labels[0]!]: value } };
                const verdict = verdictOf({ scores, ages: seen, concepts: {} }, where);
                const isAdultSet = verdict.judged.set === 'ageRestricted' || verdict.judged.set === 'usual';
                // `expect` for each of so many would take a minute.
                if (hasFace && isAdultSet) throw new Error(`${name} ${value} by ${verdict.judged.set}`);
                if (hasFace && value >= holds(name, 'withFace', {}) && verdict.verdict === 'clear')
                  throw new Error(`${name} ${value} is clear with a face`);
                const mayBeMinor = seen === null || seen.some((age) => age === null || age < 18);
                if (mayBeMinor && value >= score.maybeMinor && verdict.rule !== 'possible-minor')
                  throw new Error(`${name} ${value} is ${verdict.rule} with a face that may be under 18`);
                // What is kept of it says the same again, and so does a preview of what it shows.
                if (verdict.verdict === 'flagged' && judgedAgain(verdict, where)?.verdict !== 'flagged')
                  throw new Error(`${name} ${value} is clear when it is judged again`);
                if (hasFace && verdict.verdict === 'flagged' && mayBeGlimpsed(scores, where))
                  throw new Error(`${name} ${value} is seen while it is drawn`);
              }
          }
    expect(looked).toBe(
      2 * 2 * guilds.length * people.length * Object.keys(safety.scores).length * values.length,
    );
  });

  it('reads nothing of a generation but its face and its channel', () => {
    expect(() => Reflect.get(generation('a', true), 'parameters')).toThrow('parameters is read');
    expect(circumstancesOf(generation('a', true), {})).toEqual({
      ageRestricted: true,
      faceAsked: true,
      guild: {},
    });
  });
});
