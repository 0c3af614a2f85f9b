/** A portrait of the reference bundle, 512×640 with 20 + 20 steps: wall time, and how much of it the networks ran. */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { drawPortrait, encodeFace, type PortraitBundle } from '#pipelines/portrait.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import type { Session } from '#pipelines/session.ts';
import { ensureReferenceBundle } from '#src/bundles/ensure.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { portraitRequest } from '../support/portrait-request.ts';
import { type Goal, median, say } from './goal.ts';

const ROUNDS = 7;
/** What a portrait may take on two cores. */
const SECONDS_MAX = 10;

export async function portrait(): Promise<readonly Goal[]> {
  const dir = join(process.cwd(), '.atelier/test-bundle');
  await ensureReferenceBundle(dir);
  const loadedAt = performance.now();
  const loaded = await loadBundle(dir, { threads: 2 });
  const loadMs = performance.now() - loadedAt;
  const clock = { ms: 0 };
  const bundle = timed(loaded, clock);

  const face = await encodeFace(
    bundle,
    [0, 1, 2].map((shot) => drawPhoto(person(0), shot)),
  );
  const request = portraitRequest('portrait of a woman, auburn hair, garden', {
    width: 512,
    height: 640,
    scheduler: 'dpmpp_2m_karras',
    steps: 20,
    guidanceScale: 7.5,
    face,
    detailSteps: 20,
    detailSide: null,
    detailStrength: 1,
  });
  const walls: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    clock.ms = 0;
    const startedAt = performance.now();
    const { faces } = await drawPortrait(bundle, request);
    const wall = performance.now() - startedAt;
    if (faces !== 1) throw new Error(`stage 2 drew ${faces} faces, so this is no measure of it`);
    if (round === 0) continue; // the first one warms up
    walls.push(wall);
    ratios.push(wall / clock.ms);
  }
  const seconds = median(walls) / 1_000;
  say('cores', String(cpus().length));
  say('bundle loaded', `${(loadMs / 1_000).toFixed(2)} s`);
  say('portrait, 20 + 20 steps', `${seconds.toFixed(2)} s (median of ${ROUNDS})`);
  say('wall time / time in networks', `${median(ratios).toFixed(3)}×`);
  return [{ name: 'a portrait, s', got: seconds, atMost: SECONDS_MAX }];
}

/** The same bundle, whose sessions add what they take to a clock. */
function timed(bundle: PortraitBundle, clock: { ms: number }): PortraitBundle {
  const wrap = (session: Session): Session => ({
    ...session,
    async run(feeds, fetches) {
      const startedAt = performance.now();
      const result = await session.run(feeds, fetches);
      clock.ms += performance.now() - startedAt;
      return result;
    },
  });
  const isSession = (value: unknown): value is Session =>
    typeof value === 'object' && value !== null && 'run' in value;
  const wrapAll = (sessions: object): object =>
    Object.fromEntries(
      Object.entries(sessions).map(([key, value]) => [key, isSession(value) ? wrap(value) : value]),
    );
  return { ...wrapAll(bundle), idEncoder: wrapAll(bundle.idEncoder) } as PortraitBundle;
}
