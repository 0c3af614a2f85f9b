/** Bundles, LoRAs and faces under one budget, in threads that really draw. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { Graph } from '#pipelines/onnx-writer.ts';
import { metricsText } from '#src/doors/metrics.ts';
import { startArtist } from '#src/services/worker/artist.ts';
import { offeredBundles } from '#src/services/worker/pool/offered.ts';
import type { Level } from '#src/services/worker/pool/plan.ts';
import { type Offered, Pool, type PooledPicture } from '#src/services/worker/pool/pool.ts';
import type { FacePhotos } from '#src/services/worker/protocol.ts';
import { GENERATION, testIdentity } from '#test/support/identity.ts';
import { portraitRequest } from '#test/support/portrait-request.ts';
import { portraitPhoto } from '#test/support/portraits.ts';
import { readScrape } from '#test/support/prometheus.ts';
import { pixelsOf } from '#test/support/read-picture.ts';
import { usualPlace } from '#test/support/where.ts';

vi.setConfig({ testTimeout: 120_000 });

const MIB = 2 ** 20;
const FOREVER = new AbortController().signal;

let dir: string;
let second: string;
let ada: FacePhotos;
let ben: FacePhotos;
/** what one bundle takes, bytes */
let one: number;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-pool-'));
  second = join(dir, 'second');
  await cp(inject('bundleDir'), second, { recursive: true });
  ada = { photoIds: ['ada'], photos: [await portraitPhoto(2)] };
  ben = { photoIds: ['ben'], photos: [await portraitPhoto(0)] };
  const [{ bytes }] = (await offered({ a: 'demand' })) as [Offered];
  one = bytes;
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Two bundles, `a` and `b`, of different folders. */
const offered = (levels: Readonly<Record<string, Level>>) =>
  offeredBundles(
    new Map(
      Object.entries(levels).map(([name, level]) => [
        name,
        { dir: name === 'a' ? inject('bundleDir') : second, level },
      ]),
    ),
  );

interface Opened {
  readonly pool: Pool;
  /** what happens, in order */
  readonly events: string[];
  /** bytes of the bundles whose threads ran at once, at most */
  readonly most: () => number;
  readonly failures: string[];
}

let pools: Pool[] = [];
afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
  pools = [];
});

async function open(
  levels: Readonly<Record<string, Level>>,
  budget: number,
  before: (bundle: string) => Promise<void> = async () => {},
): Promise<Opened> {
  const events: string[] = [];
  const failures: string[] = [];
  const running = new Map<string, number>();
  let most = 0;
  const pool = new Pool(await offered(levels), {
    budget,
    async start(bundle, { onKept }) {
      running.set(bundle.name, bundle.bytes);
      most = Math.max(
        most,
        [...running.values()].reduce((sum, bytes) => sum + bytes, 0),
      );
      events.push(`start ${bundle.name}`);
      await before(bundle.name);
      const artist = await startArtist(bundle.dir, {
        identity: testIdentity,
        threads: 1,
        providers: ['cpu'],
        ...(onKept && { onKept }),
      });
      return {
        ...artist,
        async leave() {
          await artist.leave();
          running.delete(bundle.name);
          events.push(`left ${bundle.name}`);
        },
      };
    },
    onFailed: (bundle) => failures.push(bundle),
    onBroken: (error) => {
      throw error;
    },
  });
  pools.push(pool);
  return { pool, events, most: () => most, failures };
}

const picture = (more: Partial<PooledPicture> = {}, steps = 2): PooledPicture => {
  const { face: _, ...request } = portraitRequest('a woman', {
    width: 256,
    height: 256,
    steps,
    detailSteps: 1,
  });
  return {
    generationId: GENERATION,
    request,
    face: null,
    faceId: null,
    where: usualPlace,
    signal: FOREVER,
    onProgress() {},
    ...more,
  };
};
const noir = [{ name: 'noir', scale: 1 }];
const golden = [{ name: 'golden-hour', scale: 1 }];

async function load(pool: Pool, bundle: string) {
  const fits = await pool.load(bundle);
  await pool.settled(bundle);
  return fits;
}
/** As a turn has it: the bundle is kept until its pictures have ended. */
async function draw(pool: Pool, bundle: string, pictures = [picture()], loras: typeof noir = []) {
  const free = pool.keep(bundle);
  try {
    return await Promise.all(pool.drawTogether(bundle, pictures, loras));
  } finally {
    free();
  }
}

/** What was counted since the test began. */
let before: ReturnType<typeof readScrape>;
beforeEach(async () => {
  before = readScrape(await metricsText());
});
async function counted(name: string, labels: Record<string, string>): Promise<number> {
  const [now = 0] = readScrape(await metricsText()).values(name, labels);
  const [then = 0] = before.values(name, labels);
  return now - then;
}

describe('two bundles, and memory for one', () => {
  it('are drawn with in turn, and are never in memory together', async () => {
    const { pool, events, most } = await open({ a: 'demand', b: 'demand' }, 1.5 * one);
    for (const bundle of ['a', 'b', 'b', 'a']) {
      if (pool.stateOf(bundle) !== 'warm') expect(await load(pool, bundle)).toBe('now');
      const [drawn] = await draw(pool, bundle);
      expect(drawn?.width).toBe(256);
      expect(pool.bytes).toBeLessThanOrEqual(pool.budget);
    }
    expect(events).toEqual(
      ['start a', 'start b', 'start a'].flatMap((event, i) => (i ? [`left ${'ab'[i - 1]}`, event] : [event])),
    );
    expect(most()).toBe(one);
    // Three loads, and of four turns one that found its bundle there.
    expect(await counted('atelier_warm_total', { what: 'bundle', result: 'miss' })).toBe(3);
    expect(await counted('atelier_warm_total', { what: 'bundle', result: 'hit' })).toBe(1);
    expect(await counted('atelier_pool_evictions_total', { what: 'bundle' })).toBe(2);
    expect(await counted('atelier_pool_load_seconds_count', { what: 'bundle' })).toBe(3);
    const { values } = readScrape(await metricsText());
    expect(values('atelier_pool_bytes', { what: 'bundle' })).toEqual([one]);
    expect(values('atelier_pool_budget_bytes')).toEqual([1.5 * one]);
  });

  it('wait for each other: what is drawn with goes out once its turn has ended', async () => {
    const { pool, most } = await open({ a: 'demand', b: 'demand' }, 1.5 * one);
    await load(pool, 'a');
    const free = pool.keep('a');
    expect(await pool.load('b')).toBe('later');
    expect(pool.stateOf('a')).toBe('warm');
    const drawn = pool.drawTogether('a', [picture()], []);
    await expect(drawn[0]).resolves.toMatchObject({ width: 256 });
    free();
    expect(await load(pool, 'b')).toBe('now');
    expect([pool.stateOf('a'), pool.stateOf('b')]).toEqual(['cold', 'warm']);
    expect(most()).toBe(one);
  });

  it('stay as they are where one is pinned: the other never comes in', async () => {
    const { pool, failures } = await open({ a: 'pinned', b: 'demand' }, 1.5 * one);
    await load(pool, 'a');
    expect(await load(pool, 'b')).toBe('never');
    expect([pool.stateOf('a'), pool.stateOf('b')]).toEqual(['warm', 'failed']);
    expect(failures).toEqual(['b']);
    await expect(draw(pool, 'a')).resolves.toHaveLength(1);
  });
});

it('what was loaded last is not let go first, though nothing was drawn with it yet', async () => {
  const { pool, events } = await open({ a: 'demand', b: 'demand', c: 'demand' }, 2 * one);
  await load(pool, 'a');
  await draw(pool, 'a');
  await load(pool, 'b');
  await load(pool, 'c');
  expect(events).toEqual(['start a', 'start b', 'left a', 'start c']);
});

describe('two bundles, and memory for both', () => {
  it('one is loaded while the other is drawn with', async () => {
    const gate = Promise.withResolvers<void>();
    const { pool, events } = await open({ a: 'demand', b: 'demand' }, 2 * one, (bundle) =>
      bundle === 'b' ? gate.promise : Promise.resolve(),
    );
    await load(pool, 'a');
    expect(await pool.load('b')).toBe('now');
    // It is on its way all the while, and is there when it is let.
    await draw(pool, 'a');
    expect([pool.stateOf('a'), pool.stateOf('b'), events]).toEqual([
      'warm',
      'loading',
      ['start a', 'start b'],
    ]);
    gate.resolve();
    await pool.settled('b');
    expect([pool.stateOf('a'), pool.stateOf('b')]).toEqual(['warm', 'warm']);
    await expect(draw(pool, 'b')).resolves.toHaveLength(1);
  });

  it('their networks take turns: those of one alone run at a time, in the order in which they were asked', async () => {
    const { pool } = await open({ a: 'demand', b: 'demand' }, 2 * one);
    await load(pool, 'a');
    await load(pool, 'b');
    const steps: string[] = [];
    const told = (bundle: string) => picture({ onProgress: () => steps.push(bundle) }, 5);
    await Promise.all(['a', 'b', 'a'].map((bundle) => draw(pool, bundle, [told(bundle)])));
    expect(steps).toEqual(['a', 'b', 'a'].flatMap((bundle) => Array.from({ length: 5 }, () => bundle)));
  });
});

it('a bundle that does not load takes nothing, and others go on', async () => {
  const { pool, failures } = await open({ a: 'demand', b: 'demand' }, 2 * one, async (bundle) => {
    if (bundle === 'b') throw new Error('The disk is broken');
  });
  await load(pool, 'a');
  await load(pool, 'b');
  expect(failures).toEqual(['b']);
  expect(pool.bytes).toBe(one);
  expect([pool.usable, pool.failed]).toEqual([['a'], ['b']]);
  await expect(draw(pool, 'a')).resolves.toHaveLength(1);
});

describe('a set of LoRAs that is needed next', () => {
  /** A picture that is drawn until it is told to stop; `steps` grows with each of its steps. */
  function endless() {
    const stop = new AbortController();
    const drawn = { steps: 0 };
    const one = picture({ signal: stop.signal, onProgress: () => drawn.steps++ }, 100_000);
    return { one, drawn, stop: () => stop.abort() };
  }
  const sets = (pool: Pool) => [...pool.warmOf('a').loras].filter(Boolean).sort();

  it('is loaded while others are drawn, whose steps go on, and is there for its turn', async () => {
    const { pool } = await open({ a: 'demand' }, 2 * one);
    await load(pool, 'a');
    const { one: picture, drawn, stop } = endless();
    const drawing = draw(pool, 'a', [picture]);
    const stopped = expect(drawing).rejects.toThrow('cancelled');
    await vi.waitFor(() => expect(drawn.steps).toBeGreaterThan(0), 20_000);

    expect(await pool.loadLoras('a', noir)).toBe('now');
    // Until it is there the order prefers what is.
    expect(sets(pool)).toEqual([]);
    const { steps } = drawn;
    await vi.waitFor(() => expect(sets(pool)).toEqual(['noir']), 20_000);
    expect(drawn.steps).toBeGreaterThan(steps);
    expect(await pool.loadLoras('a', noir)).toBe('now');
    stop();
    await stopped;

    await draw(pool, 'a', undefined, noir);
    // Of that turn it was loaded for, so it is no hit.
    expect(await counted('atelier_warm_total', { what: 'loras', result: 'miss' })).toBe(1);
    expect(await counted('atelier_warm_total', { what: 'loras', result: 'hit' })).toBe(0);
  });

  it('draws the same pixels as where it was loaded with its turn', async () => {
    const ahead = await open({ a: 'demand' }, 2 * one);
    await load(ahead.pool, 'a');
    await ahead.pool.loadLoras('a', noir);
    await vi.waitFor(() => expect(sets(ahead.pool)).toEqual(['noir']), 20_000);
    const withTurn = await open({ a: 'demand' }, 2 * one);
    await load(withTurn.pool, 'a');
    const [[first], [other], [plain]] = await Promise.all([
      draw(ahead.pool, 'a', undefined, noir),
      draw(withTurn.pool, 'a', undefined, noir),
      draw(withTurn.pool, 'a'),
    ]);
    const pixels = await pixelsOf(first!);
    expect(await pixelsOf(other!)).toBe(pixels);
    expect(await pixelsOf(plain!)).not.toBe(pixels);
  });

  it('is loaded after them where there is no room beside them', async () => {
    const [{ loraBytes }] = (await offered({ a: 'demand' })) as [Offered];
    const { pool } = await open({ a: 'demand' }, one + loraBytes);
    await load(pool, 'a');
    const { one: picture, drawn, stop } = endless();
    const drawing = draw(pool, 'a', [picture], golden);
    const stopped = expect(drawing).rejects.toThrow('cancelled');
    await vi.waitFor(() => expect(drawn.steps).toBeGreaterThan(0), 20_000);

    expect(await pool.loadLoras('a', noir)).toBe('later');
    expect(sets(pool)).toEqual(['golden-hour']);
    const next = draw(pool, 'a', undefined, noir);
    stop();
    await stopped;
    await expect(next).resolves.toHaveLength(1);
    expect(pool.bytes).toBeLessThanOrEqual(pool.budget);
  });

  it('that does not load takes nothing, and its turn fails', async () => {
    const { pool } = await open({ a: 'demand' }, 2 * one);
    await load(pool, 'a');
    const none = [{ name: 'nobody-has-it', scale: 1 }];
    expect(await pool.loadLoras('a', none)).toBe('now');
    await vi.waitFor(() => expect(pool.bytes).toBe(one), 20_000);
    await expect(draw(pool, 'a', undefined, none)).rejects.toThrow();
    await expect(draw(pool, 'a')).resolves.toHaveLength(1);
  });

  it('does not keep the pool from closing while it is loaded', async () => {
    const { pool } = await open({ a: 'demand' }, 2 * one);
    await load(pool, 'a');
    await pool.loadLoras('a', golden);
    await pool.close();
  });
});

describe('what lives within a bundle', () => {
  it('is let go by the same rule: a set of LoRAs makes room for the next, until both are known to fit', async () => {
    const [{ loraBytes }] = (await offered({ a: 'demand' })) as [Offered];
    const { pool } = await open({ a: 'demand' }, one + loraBytes);
    await load(pool, 'a');
    const sums: string[] = [];
    const kept: string[][] = [];
    // A set takes all that LoRAs can change at most; these two change the UNet alone, as is known once they were there.
    for (const loras of [noir, golden, golden, noir]) {
      const [drawn] = await draw(pool, 'a', undefined, loras);
      sums.push(await pixelsOf(drawn!));
      kept.push([...pool.warmOf('a').loras].filter(Boolean).sort());
      expect(pool.bytes).toBeLessThanOrEqual(pool.budget);
    }
    expect(kept).toEqual([['noir'], ['golden-hour'], ['golden-hour'], ['golden-hour', 'noir']]);
    expect([sums[1], sums[3]]).toEqual([sums[2], sums[0]]);
    expect(await counted('atelier_pool_evictions_total', { what: 'loras' })).toBe(1);
    expect(await counted('atelier_warm_total', { what: 'loras', result: 'miss' })).toBe(3);
    expect(await counted('atelier_warm_total', { what: 'loras', result: 'hit' })).toBe(1);
  });

  it('is kept as long as there is room, and then is what the order prefers', async () => {
    const { pool } = await open({ a: 'demand' }, 2 * one);
    await load(pool, 'a');
    const of = (face: FacePhotos, faceId: string) => [picture({ face, faceId })];
    await draw(pool, 'a', of(ada, 'ada’s folder'), noir);
    await draw(pool, 'a', of(ben, 'ben’s folder'), golden);
    expect(pool.warmOf('a')).toEqual({
      loras: new Set(['', 'noir', 'golden-hour']),
      faceIds: new Set(['ada’s folder', 'ben’s folder']),
    });
    await pool.forget(['ada']);
    expect(pool.warmOf('a').faceIds).toEqual(new Set(['ben’s folder']));
    expect(await pool.faces()).toEqual(['ben']);
  });

  it('is a face, too: measured it takes less than was kept free for it, and goes when another needs the room', async () => {
    const { pool } = await open({ a: 'demand' }, one + 0.7 * MIB);
    await load(pool, 'a');
    await draw(pool, 'a', [picture({ face: ada, faceId: 'ada' })]);
    const measured = pool.bytes - one;
    expect(measured).toBeGreaterThan(512 * 4);
    expect(measured).toBeLessThan(0.1 * MIB);
    // So small, both fit; a folder of many photos needs the room of both until it is measured.
    await draw(pool, 'a', [picture({ face: ben, faceId: 'ben' })]);
    expect([...(await pool.faces())].sort()).toEqual(['ada', 'ben']);
  });

  it('never fits where it needs more than there is, and says so', async () => {
    const { pool } = await open({ a: 'demand' }, one + 1);
    await load(pool, 'a');
    await expect(draw(pool, 'a', undefined, noir)).rejects.toMatchObject({ code: 'memory_short' });
    await expect(draw(pool, 'a')).resolves.toHaveLength(1);
  });

  it('goes with its bundle, and is read again when that comes back', async () => {
    const { pool } = await open({ a: 'demand', b: 'demand' }, one + 20 * MIB);
    await load(pool, 'a');
    await draw(pool, 'a', [picture({ face: ada, faceId: 'ada' })], noir);
    await load(pool, 'b');
    expect(pool.bytes).toBe(one);
    expect(await pool.faces()).toEqual([]);
    await load(pool, 'a');
    expect(pool.warmOf('a')).toEqual({ loras: new Set(['']), faceIds: new Set() });
    await expect(draw(pool, 'a', [picture({ face: ada, faceId: 'ada' })], noir)).resolves.toHaveLength(1);
  });
});

it('memory comes back when a bundle goes out', async () => {
  // The bundle with an upscaler whose weights take 256 MiB.
  const large = join(dir, 'large');
  await cp(inject('bundleDir'), large, { recursive: true });
  await putUpscaler(large, 256 * MIB);
  const rss = () => process.memoryUsage().rss;
  const cycle = async () => {
    const artist = await startArtist(large, { identity: testIdentity, threads: 1, providers: ['cpu'] });
    const loaded = rss();
    await artist.leave();
    return { loaded, left: rss() };
  };
  await cycle(); // what stays is onnxruntime's own, once
  const empty = rss();
  const { loaded, left } = await cycle();
  expect(loaded - empty).toBeGreaterThan(160 * MIB);
  expect(left - empty).toBeLessThan(60 * MIB);
});

async function putUpscaler(bundle: string, bytes: number): Promise<void> {
  const { readFile, writeFile } = await import('node:fs/promises');
  const graph = new Graph('a large one');
  const width = bytes / 4 / 3;
  const mean = graph.op('GlobalAveragePool', [graph.input('x', 'float', ['n', 3, 'h', 'w'])]);
  const weights = graph.floats(new Float32Array(Math.floor(width) * 3).fill(0.5), [3, Math.floor(width)]);
  const row = graph.op('Reshape', [mean, graph.ints([-1, 3])]);
  const product = graph.op('ReduceMean', [graph.op('MatMul', [row, weights])], { keepdims: 0 });
  graph.output('y', graph.op('Add', [mean, product]), 'float', ['n', 3, 'h', 'w']);
  await writeFile(join(bundle, 'upscaler.onnx'), graph.bytes());
  const yaml = await readFile(join(bundle, 'bundle.yaml'), 'utf8');
  await writeFile(
    join(bundle, 'bundle.yaml'),
    yaml.replace(/^files:\n/m, 'files:\n  upscaler: upscaler.onnx\n'),
  );
}
