/**
 * What a portrait takes beside its networks: wall time over the sum of its ONNX runs, stage by stage, for one portrait and for
 * four at once. Reference bundle, 512×640, 20 + 20 steps, one face.
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { drawPortraits, encodeFace } from '#pipelines/portrait.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { ensureReferenceBundle } from '#src/bundles/ensure.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { portraitRequest } from '../support/portrait-request.ts';
import { type Goal, say } from './goal.ts';

/** What the whole may take, as times of what its networks take. */
const RATIO_MAX = 1.05;
const ROUNDS: Readonly<Record<number, number>> = { 1: 9, 4: 5 };
/** rounds before them that do not count: a worker's first portraits are drawn by JavaScript that is not compiled yet */
const WARM_UP = 3;
const STEPS = 20;
/** The names that a pipeline tells, by the stage that they are parts of. */
const STAGES = {
  'stage 1, base': ['conditioning', 'base', 'decode'],
  'stage 2, detail': ['detail', 'likeness'],
  verdict: ['safety'],
} as const;

interface Spent {
  wall: number;
  onnx: number;
}

export async function pipeline(): Promise<readonly Goal[]> {
  const dir = join(process.cwd(), '.atelier/test-bundle');
  await ensureReferenceBundle(dir);
  const bundle = await loadBundle(dir, { threads: 2 });
  const face = await encodeFace(
    bundle,
    [0, 1, 2].map((shot) => drawPhoto(person(0), shot)),
  );
  const request = (seed: number) =>
    portraitRequest('portrait of a woman, auburn hair, garden', {
      width: 512,
      height: 640,
      seed,
      scheduler: 'dpmpp_2m_karras',
      steps: STEPS,
      guidanceScale: 7.5,
      face,
      detailSteps: STEPS,
      detailSide: null,
      detailStrength: 1,
    });
  const clock = timedRuns();
  say('cores', String(cpus().length));

  const goals: Goal[] = [];
  for (const [size, rounds] of Object.entries(ROUNDS)) {
    const requests = Array.from({ length: Number(size) }, (_, n) => request(7 + n));
    const all: Map<string, Spent>[] = [];
    for (let round = 0; round < WARM_UP + rounds; round++) {
      const spent = new Map<string, Spent>();
      let [stage, since, onnx] = ['conditioning', performance.now(), clock.ms];
      const close = (next: string) => {
        const now = performance.now();
        const until = spent.get(stage) ?? { wall: 0, onnx: 0 };
        spent.set(stage, { wall: until.wall + now - since, onnx: until.onnx + clock.ms - onnx });
        [stage, since, onnx] = [next, now, clock.ms];
      };
      const portraits = await drawPortraits(bundle, requests, { onStage: close });
      close('');
      if (portraits.some(({ faces }) => faces !== 1))
        throw new Error('stage 2 did not draw one face in each portrait, so this is no measure of it');
      if (round >= WARM_UP) all.push(spent);
    }
    const got = report(Number(size), all);
    goals.push({ name: `the whole, batch of ${size}`, got, atMost: RATIO_MAX });
  }
  return goals;
}

/** @returns wall time of the whole over that of its ONNX runs */
function report(batch: number, rounds: readonly ReadonlyMap<string, Spent>[]): number {
  /** Of the parts together, the round in the middle by its ratio. */
  const middle = (parts: readonly string[]): Spent => {
    const sums = rounds.map((spent) => {
      const found = parts.map((part) => spent.get(part) ?? { wall: 0, onnx: 0 });
      return {
        wall: found.reduce((sum, { wall }) => sum + wall, 0),
        onnx: found.reduce((sum, { onnx }) => sum + onnx, 0),
      };
    });
    return sums.sort((a, b) => a.wall / a.onnx - b.wall / b.onnx)[Math.floor(sums.length / 2)]!;
  };
  const line = (what: string, parts: readonly string[]) => {
    const { wall, onnx } = middle(parts);
    say(what, `${ms(wall)} ${ms(onnx)} ${(wall / onnx).toFixed(3)}×`);
    return wall / onnx;
  };
  process.stdout.write(
    `\n  ${`batch of ${batch}`.padEnd(32)} ${'wall'.padStart(10)} ${'ONNX'.padStart(10)} ratio\n`,
  );
  for (const [stage, parts] of Object.entries(STAGES)) {
    line(stage, parts);
    if (parts.length > 1) for (const part of parts) line(`  ${part}`, [part]);
  }
  const whole = line('whole', Object.values(STAGES).flat());
  const base = middle(['base']);
  say('a step of the base, beside ONNX', `${((base.wall - base.onnx) / STEPS).toFixed(2)} ms`);
  return whole;
}

/** The sum of what every `session.run` of onnxruntime takes from now on, ms. */
function timedRuns(): { ms: number } {
  const clock = { ms: 0 };
  // Typed as a factory; it is the class of every session.
  const { prototype } = InferenceSession as unknown as { prototype: { run: InferenceSession['run'] } };
  const run = prototype.run as (
    this: InferenceSession,
    ...args: unknown[]
  ) => ReturnType<typeof prototype.run>;
  prototype.run = async function timed(this: InferenceSession, ...args: unknown[]) {
    const startedAt = performance.now();
    const result = await run.apply(this, args);
    clock.ms += performance.now() - startedAt;
    return result;
  };
  return clock;
}

const ms = (value: number) => `${value.toFixed(1)} ms`.padStart(10);
