/**
 * The one order of the backlog: who is next. Admission takes its beginning, and every place and every wait that somebody is
 * told is read off it.
 *
 * Tiers take turns, the one that was served longest ago first; within a tier people take turns in the same way; within a person's
 * flow, first come first. A turn is one picture. So somebody who asks for 500 pictures delays another's first one by one picture.
 *
 * It has no memory of its own: "served" is the time of the last admission, which rows keep. Taking the first few at once gives
 * the same sequence as taking one and asking again; test/src/backlog/order.test.ts holds it to that.
 */

/** The pictures of one batch that wait in one flow. */
export interface Run {
  readonly batchId: string;
  readonly pictures: number;
  /** of all these pictures */
  readonly steps: number;
  /** of the first of them; admission needs no more than it can hand out at once */
  readonly ids?: readonly string[];
}

/** One person's waiting work in one tier, first come first. */
export interface Flow {
  readonly tier: string;
  readonly userId: string;
  /** ms; when a picture of theirs was last admitted in this tier; null: not lately */
  readonly servedAt: number | null;
  /** ms; since when its first picture waits */
  readonly since: number;
  readonly runs: readonly Run[];
}

export interface Backlog {
  readonly flows: readonly Flow[];
  /** tier → ms; when any picture was last admitted in it, even if its flow is empty by now */
  readonly tierServedAt: ReadonlyMap<string, number>;
}

/** A picture in its turn. */
export interface Turn {
  readonly tier: string;
  readonly userId: string;
  readonly batchId: string;
  readonly steps: number;
  /** the generation's, where its run names it */
  readonly id: string | undefined;
}

/** @param tiers between equals, the one that stands first here is served first */
export function* inOrder(
  { flows, tierServedAt }: Backlog,
  tiers: readonly string[],
): Generator<Turn, undefined> {
  const lines = tiers
    .map((tier) => ({
      servedAt: tierServedAt.get(tier) ?? -1,
      people: flows
        .filter((flow) => flow.tier === tier && flow.runs.length)
        .sort(byService)
        .map((flow) => ({ left: pictures(flow), turns: turnsOf(flow) })),
    }))
    .filter(({ people }) => people.length);
  // Later than whatever rows say, and later with each turn.
  let now = Math.max(0, ...tierServedAt.values()) + 1;

  while (lines.length) {
    const line = lines.reduce((longest, other) => (other.servedAt < longest.servedAt ? other : longest));
    const person = line.people.shift()!;
    yield person.turns.next().value!;
    line.servedAt = now++;
    person.left--;
    if (person.left) line.people.push(person);
    else if (!line.people.length) lines.splice(lines.indexOf(line), 1);
  }
}

function byService(a: Flow, b: Flow): number {
  return (a.servedAt ?? -1) - (b.servedAt ?? -1) || a.since - b.since || (a.userId < b.userId ? -1 : 1);
}

function pictures({ runs }: Flow): number {
  return runs.reduce((sum, run) => sum + run.pictures, 0);
}

function* turnsOf({ tier, userId, runs }: Flow): Generator<Turn, undefined> {
  for (const run of runs)
    for (let i = 0; i < run.pictures; i++)
      yield { tier, userId, batchId: run.batchId, steps: run.steps / run.pictures, id: run.ids?.[i] };
}
