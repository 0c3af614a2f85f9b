/**
 * What the draw thread loses between its networks' runs, and gains by drawing together: pictures a second in batches of 1, 2 and 4, the
 * time from one batch's last run to the next one's first, and what a preview costs. Reference bundle, 512×640, 20 + 20 steps, one face.
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { PortraitBundle } from '#pipelines/portrait.ts';
import type { Session } from '#pipelines/session.ts';
import { ensureReferenceBundle } from '#src/bundles/ensure.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { openEasel, type Told } from '#src/services/worker/easel.ts';
import type { PictureAsk } from '#src/services/worker/protocol.ts';
import { usualPlace } from '#test/support/where.ts';
import { portraitRequest } from '../support/portrait-request.ts';
import { portraitPhoto } from '../support/portraits.ts';
import { type Goal, median, say } from './goal.ts';

const PICTURES = 12;
const BATCHES = [1, 2, 4];
/** How long the networks may wait between two batches, ms. */
const GAP_MAX_MS = 5;
/** What a preview may hold a picture up, ms. */
const PREVIEW_MAX_MS = 50;

/** A run of any network, ms as `performance.now()` has it. */
interface Run {
  readonly from: number;
  readonly to: number;
}

export async function easel(): Promise<readonly Goal[]> {
  const dir = join(process.cwd(), '.atelier/test-bundle');
  await ensureReferenceBundle(dir);
  const runs: Run[] = [];
  const bundle = watched(await loadBundle(dir, { threads: 2 }), runs);
  const photos = await Promise.all([0, 1, 2].map((shot) => portraitPhoto(0, shot)));
  const face = { photoIds: ['a', 'b', 'c'], photos };
  let last = 0;
  const picture = (previewEveryMs: number | null): PictureAsk => {
    const { face: _, ...request } = portraitRequest('portrait of a woman, auburn hair, garden', {
      width: 512,
      height: 640,
      seed: 7 + last,
      scheduler: 'dpmpp_2m_karras',
      steps: 20,
      guidanceScale: 7.5,
      detailSteps: 20,
      detailSide: null,
      detailStrength: 1,
    });
    return { id: ++last, request, face, where: usualPlace, previewEveryMs };
  };

  /** Draws all in batches of that size, two of them in hand, as a worker does. */
  async function drawAll(batch: number, previewEveryMs: number | null = null) {
    const gaps: number[] = [];
    let previews = 0;
    let left = PICTURES;
    let begun = false;
    const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
    const told: Told = {
      progress() {
        if (begun) return;
        begun = true;
        // Of this batch that is the first step; the run that began it came after the last one's last.
        next();
      },
      stage() {},
      preview() {
        previews++;
      },
      drawn() {
        if (--left === 0) resolve();
        if (left % batch === 0) {
          begun = false;
          marks.push(runs.length);
        }
      },
      failed: (_, error) => reject(error),
      batchMax() {},
      remembered() {},
    };
    const drawing = openEasel(bundle, async () => bundle, told);
    const marks: number[] = [];
    let asked = 0;
    const next = () => {
      if (asked >= PICTURES) return;
      asked += batch;
      drawing.draw(
        Array.from({ length: batch }, () => picture(previewEveryMs)),
        [],
      );
    };
    runs.length = 0;
    const startedAt = performance.now();
    next();
    await ended;
    const seconds = (performance.now() - startedAt) / 1_000;
    for (const mark of marks) {
      const [before, after] = [runs[mark - 1], runs[mark]];
      if (before && after) gaps.push(after.from - before.to);
    }
    return { seconds, gaps, previews };
  }

  await drawAll(1); // warms up
  say('cores', String(cpus().length));
  const goals: Goal[] = [];
  for (const batch of BATCHES) {
    const { seconds, gaps } = await drawAll(batch);
    const first = seconds / (PICTURES / batch);
    const rate = `${(PICTURES / seconds).toFixed(2)} pictures/s`;
    say(
      `batches of ${batch}`,
      `${rate}, a batch in ${first.toFixed(2)} s, ${median(gaps).toFixed(1)} ms between`,
    );
    goals.push({ name: `between batches of ${batch}, ms`, got: median(gaps), atMost: GAP_MAX_MS });
  }
  const costs: number[] = [];
  for (let round = 0; round < 3; round++) {
    const plain = await drawAll(1);
    const shown = await drawAll(1, 0);
    costs.push(((shown.seconds - plain.seconds) * 1_000) / shown.previews);
  }
  say('a preview', `${median(costs).toFixed(1)} ms`);
  goals.push({ name: 'a preview, ms', got: median(costs), atMost: PREVIEW_MAX_MS });
  return goals;
}

/** The same bundle, whose sessions tell when they ran. */
function watched<B extends PortraitBundle>(bundle: B, runs: Run[]): B {
  const wrap = (session: Session): Session => ({
    ...session,
    async run(feeds, fetches) {
      const from = performance.now();
      const result = await session.run(feeds, fetches);
      runs.push({ from, to: performance.now() });
      return result;
    },
  });
  const isSession = (value: unknown): value is Session =>
    typeof value === 'object' && value !== null && 'run' in value;
  const wrapAll = (sessions: object): object =>
    Object.fromEntries(
      Object.entries(sessions).map(([key, value]) => [key, isSession(value) ? wrap(value) : value]),
    );
  return { ...wrapAll(bundle), idEncoder: wrapAll(bundle.idEncoder) } as B;
}
