/**
 * What those who run Atelier see of a picture: typed before the local Discord, drawn by a worker, posted by a courier, each in a process
 * of its own. Then the metrics of each process, the spans that a collector got, and the log lines.
 */
import type { APIMessage } from 'discord-api-types/v10';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { z } from 'zod';
import { textOf } from '#infra/local/discord/person.ts';
import type { ServiceProcess } from '#infra/local/processes.ts';
import { type CollectedSpan, type Collector, startCollector } from '#test/support/collector.ts';
import { readScrape, type Scrape, scrape } from '#test/support/prometheus.ts';
import { type LocalBot, startLocalBot } from './bot/local-bot.ts';

const LONG_MS = 180_000;
const PROMPT = 'portrait of a ferryman, teal scarf';
const SERVICES = ['courier', 'web', 'mecene'] as const;

const Line = z.looseObject({ msg: z.string() });

let collector: Collector;
let local: LocalBot;
const running: ServiceProcess[] = [];
/** what each process logged */
const lines = { worker: [] as z.output<typeof Line>[], others: [] as z.output<typeof Line>[] };
/** what each told in the end */
const told = {} as Record<'bot' | 'worker' | 'others', Scrape>;
let card: APIMessage;
let memberId: string;

async function start(
  names: readonly string[],
  into: z.output<typeof Line>[],
): Promise<() => Promise<Scrape>> {
  const { serviceProcess } = await import('#infra/local/processes.ts');
  const one = serviceProcess(names, {
    env: { LOG_LEVEL: 'info', METRICS_PORT: '0', WEB_PORT: '0', EDIT_INTERVAL_MS: '200' },
    onLine: (line) => line.startsWith('{') && into.push(Line.parse(JSON.parse(line))),
    print: () => {},
  });
  running.push(one);
  await one.start();
  const port = z.number().parse(into.find(({ msg }) => msg === 'metrics are told')?.port);
  return () => scrape(port);
}

beforeAll(async () => {
  collector = await startCollector();
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = collector.url;
  local = await startLocalBot();
  // Only now: `config` is read when the first of our modules is imported.
  const { useBundle } = await import('#test/support/worker-process.ts');
  await useBundle(inject('bundleDir'));
  const [ofWorker, ofOthers] = await Promise.all([
    start(['worker'], lines.worker),
    start(SERVICES, lines.others),
  ]);

  const member = await local.as('member');
  memberId = member.id;
  expect((await member.type('imagine', { prompt: PROMPT })).content).toMatch(/^Accepted/);
  card = await shown('ferryman');
  await member.type('set', { parameter: 'lora', value: 'noir' });
  await member.type('imagine', { prompt: 'portrait of a weaver' });
  await shown('weaver');
  await member.suggest('set', { parameter: 'ste' }, 'parameter');
  expect((await member.type('imagine', { prompt: '   ' })).content).toContain('The prompt is empty');
  // Custom ids that anybody may forge.
  for (let i = 0; i < 5; i++) {
    const forged = `v1:forged.${i}:${member.id}`;
    const button = { type: 2, style: 2, label: 'Press', custom_id: forged };
    const message = await local.post(member.channelId, 'forged', [{ type: 1, components: [button] }]);
    await member.press(message, forged);
  }

  const { metricsText } = await import('#src/doors/metrics.ts');
  told.bot = readScrape(await metricsText());
  told.worker = await ofWorker();
  told.others = await ofOthers();
  // What is left of spans goes out when a process ends.
  await Promise.all([...running.map((one) => one.stop()), local.bot.close()]);
}, LONG_MS);

afterAll(async () => {
  await Promise.all(running.map((one) => one.stop()));
  await local?.close();
  await collector?.close();
  delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
});

/** The card, once it has its picture. */
async function shown(word: string): Promise<APIMessage> {
  const { connectPerson } = await import('#infra/local/discord/person.ts');
  const reader = await connectPerson(local.sandbox.pageUrl, { person: 'other', channel: 'portraits' });
  try {
    return await reader.waitForMessage(
      (message) =>
        textOf(message).includes(word) && JSON.stringify(message.components).includes('picture.details'),
      { timeoutMs: 90_000 },
    );
  } finally {
    reader.close();
  }
}

describe('metrics', () => {
  const counts = (of: keyof typeof told, name: string, labels: Record<string, string> = {}) =>
    told[of].values(`${name}_count`, labels).reduce((sum, value) => sum + value, 0);

  it('the worker tells waits, turns, stages, ends, what was warm, and its weights', () => {
    const { values } = told.worker;
    const tier = 'fast';
    expect(counts('worker', 'atelier_wait_seconds', { tier })).toBe(2);
    // Soon or late: that is this machine's business.
    const outcomes = ['soon', 'late'].flatMap((outcome) =>
      values('atelier_requests_total', { tier, outcome }),
    );
    expect(outcomes.reduce((sum, value) => sum + value, 0)).toBe(2);
    expect(counts('worker', 'atelier_request_seconds', { tier })).toBe(2);
    expect(counts('worker', 'atelier_turn_pictures', { bundle: 'reference' })).toBe(2);
    for (const stage of ['conditioning', 'base', 'decode', 'safety', 'encode', 'lora'])
      expect(counts('worker', 'atelier_stage_seconds', { bundle: 'reference', stage }), stage).toBe(2);
    expect(values('atelier_pictures_total', { tier, outcome: 'drawn' })).toEqual([2]);
    expect(values('atelier_warm_total', { what: 'loras', result: 'miss' })).toEqual([1]);
    expect(values('atelier_warm_total', { what: 'bundle', result: 'hit' })).toEqual([2]);
    const [bundle = 0] = values('atelier_pool_bytes', { what: 'bundle' });
    const [loras = 0] = values('atelier_pool_bytes', { what: 'loras' });
    expect(bundle).toBeGreaterThan(loras);
    expect(loras).toBeGreaterThan(0);
    expect(values('atelier_failures_total')).toEqual([]);
  });

  it('the courier tells what it did for messages, how late they were, and how fast Discord is', () => {
    const { values } = told.others;
    expect(values('atelier_deliveries_total', { kind: 'card', outcome: 'posted' })).toEqual([2]);
    expect(values('atelier_deliveries_total', { kind: 'card', outcome: 'edited' })[0]).toBeGreaterThanOrEqual(
      2,
    );
    expect(counts('others', 'atelier_delivery_seconds', { kind: 'card' })).toBeGreaterThanOrEqual(4);
    const posts = { method: 'POST', route: '/channels/:id/messages', status: '200' };
    expect(counts('others', 'atelier_discord_request_seconds', posts)).toBeGreaterThanOrEqual(2);
  });

  it('the web service tells of the fleet, and nobody else does', () => {
    expect(told.others.values('atelier_workers', { bundle: 'reference' })).toEqual([1]);
    for (const name of ['pictures_without_bytes', 'reviews_open', 'oldest_review_seconds'])
      expect(told.others.values(`atelier_${name}`), name).toEqual([0]);
    expect(told.others.values('atelier_storage_up')).toEqual([1]);
    for (const of of ['bot', 'worker'] as const) expect(told[of].values('atelier_workers')).toEqual([]);
  });

  it('the bot tells for its shards what was typed and pressed, how soon it was acknowledged, and what it cost', async () => {
    const { values } = told.bot;
    const answers = (command: string, answer: string) =>
      values('atelier_interactions_total', { command, answer, shards: '0-1' });
    expect(answers('imagine', 'done')).toEqual([2]);
    expect(answers('imagine', 'refused')).toEqual([1]);
    expect(answers('set', 'done')).toEqual([1]);
    expect(answers('set', 'suggested')).toEqual([1]);
    expect(answers('unknown', 'refused')).toEqual([5]);
    expect(counts('bot', 'atelier_acknowledge_seconds', { by: 'reply' })).toBe(9);
    expect(counts('bot', 'atelier_acknowledge_seconds', { by: 'choices' })).toBe(1);
    const { db } = await import('#src/doors/db.ts');
    const { _sum } = await db.batch.aggregate({ _sum: { charged: true } });
    expect(values('atelier_tokens_total', { reason: 'charge' })).toEqual([_sum.charged]);
    expect(values('atelier_gateway_events_total', { event: 'ready' })).toEqual([2]);
    expect(values('atelier_shards_wanted')).toEqual([2]);
    for (const shard of ['0', '1']) expect(values('atelier_shard_connected', { shard })).toEqual([1]);
    const callbacks = { route: '/interactions/:id/:token/callback', method: 'POST' };
    expect(counts('bot', 'atelier_discord_request_seconds', callbacks)).toBeGreaterThanOrEqual(10);
  });

  it('each process tells how late its event loop is, and which services it has', () => {
    for (const [of, services] of [
      ['worker', ['worker']],
      ['others', SERVICES],
    ] as const) {
      expect(told[of].values('nodejs_eventloop_lag_p99_seconds')).toHaveLength(1);
      for (const service of services)
        expect(told[of].values('atelier_service_info', { service }), service).toEqual([1]);
    }
    // The supervisor's own is told by its process; here that is the test's.
    const shards = { shards: '0-1' };
    expect(told.bot.values('nodejs_eventloop_lag_p99_seconds', shards)).toHaveLength(1);
    expect(told.bot.values('atelier_service_info', { service: 'bot', ...shards })).toEqual([1]);
  });

  it('labels are few, and say nothing of who, where or what', () => {
    for (const { samples } of Object.values(told)) {
      expect(samples.length).toBeLessThan(2_000);
      for (const { name, labels } of samples)
        for (const value of Object.values(labels))
          expect(value, name).not.toMatch(/\d{15,}|[0-9a-f]{8}-|forged|ferryman|weaver/);
    }
  });
});

describe('traces', () => {
  let spans: readonly CollectedSpan[];
  const one = (name: string) => {
    const found = spans.filter((span) => span.name === name);
    expect(found, name).toHaveLength(1);
    return found[0]!;
  };
  beforeAll(() => {
    const first = lines.worker.find(({ msg }) => msg === 'drawn');
    const [, traceId] = String(first?.traceparent).split('-');
    spans = collector.spans.filter((span) => span.traceId === traceId);
  });

  it('a picture is one trace, from what was typed to what was posted, through three services', async () => {
    const interaction = one('interaction');
    expect(interaction).toMatchObject({
      service: 'bot',
      parentSpanId: undefined,
      facts: { 'atelier.command': 'imagine', 'atelier.answer': 'done' },
    });
    const accept = one('accept');
    expect(accept).toMatchObject({ service: 'bot', parentSpanId: interaction.spanId });
    const { db } = await import('#src/doors/db.ts');
    const batch = await db.batch.findFirstOrThrow({
      where: { messageId: card.id },
      include: { generations: true },
    });
    expect(accept.facts['atelier.batchId']).toBe(batch.id);
    const ofWorker = ['wait', 'draw', 'store'].map(one);
    for (const span of ofWorker) {
      expect(span).toMatchObject({ service: 'worker', parentSpanId: accept.spanId });
      expect(span.facts['atelier.generationId']).toBe(batch.generations[0]?.id);
    }
    const [wait, draw, store] = ofWorker;
    const stages = spans.filter(({ parentSpanId }) => parentSpanId === draw?.spanId);
    expect(stages.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['conditioning', 'base', 'decode', 'safety', 'encode']),
    );
    const posts = spans.filter(({ name }) => name === 'post').sort((a, b) => a.from - b.from);
    expect(new Set(posts.map(({ facts }) => facts['atelier.outcome']))).toEqual(
      new Set(['posted', 'edited']),
    );
    for (const post of posts)
      expect(post).toMatchObject({ service: SERVICES.join(' '), parentSpanId: accept.spanId });

    // One after the other, all on this machine's clock; Postgres and OpenTelemetry each round by a ms.
    const times = [
      interaction.from,
      accept.from,
      wait?.to,
      draw?.from,
      draw?.to,
      store?.from,
      posts.at(-1)?.to,
    ];
    for (const [i, time] of times.entries())
      expect(time! + 2, `${i}`).toBeGreaterThanOrEqual(times[i - 1] ?? 0);
    for (const stage of stages) {
      expect(stage.from + 2).toBeGreaterThanOrEqual(draw!.from);
      expect(stage.to).toBeGreaterThanOrEqual(stage.from);
    }
    for (const { error } of spans) expect(error).toBeUndefined();
  });

  it('what somebody typed, who and where they are, and secrets stay out of them', () => {
    const all = collector.bodies.join('\n');
    expect(all).toContain('interaction');
    for (const secret of ['ferryman', 'weaver', memberId, card.channel_id, process.env.DISCORD_TOKEN!])
      expect(all).not.toContain(secret);
    const known = new Set(collector.spans.flatMap(({ facts }) => Object.keys(facts)));
    expect([...known].sort()).toEqual(
      [
        ...['answer', 'batchId', 'bytes', 'command', 'deliveryId', 'generationId', 'kind', 'outcome'],
        ...['pictures', 'tier', 'workerId'],
      ].map((name) => `atelier.${name}`),
    );
  });
});

describe('the log', () => {
  it('of the worker says of each line about a picture which it is, of which batch and trace, and not of which job', () => {
    const drawn = lines.worker.filter(({ msg }) => msg === 'drawn');
    expect(drawn).toHaveLength(2);
    for (const line of drawn) {
      expect(line).toMatchObject({
        service: 'worker',
        batchId: expect.any(String),
        generationId: expect.any(String),
        traceparent: expect.stringMatching(/^00-/),
      });
      expect(line).not.toHaveProperty('job');
    }
  });

  it('of the courier says of each message which it is, and of which batch', () => {
    const posted = lines.others.filter(({ msg, kind }) => msg === 'shown' && kind === 'card');
    expect(posted.length).toBeGreaterThanOrEqual(4);
    for (const line of posted)
      expect(line).toMatchObject({
        service: 'courier',
        deliveryId: expect.any(String),
        batchId: expect.any(String),
        traceparent: expect.stringMatching(/^00-/),
      });
  });
});
