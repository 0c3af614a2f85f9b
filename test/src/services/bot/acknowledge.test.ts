/** That people are acknowledged whatever the shard does, and what is bounded then. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isThinking } from '#infra/local/discord/person.ts';
import type { Outcome } from '#infra/local/discord/protocol.ts';
import { personIdOf } from '#infra/local/discord/world.ts';
import { endThread, environmentFor, hold } from '#test/support/held-shard.ts';
import { readScrape } from '#test/support/prometheus.ts';
import type { LocalBot } from './local-bot.ts';

const PEOPLE = 20;
const MINE = /^I am still at 4 requests of yours, and that is the most at once/;
/** Needs no Postgres. */
const HELP = /^### Draw/;
const CROWDED = /^So much is asked of me right now/;

let local: LocalBot;
let folder: string;
let channel: string;
let db: typeof import('#src/doors/db.ts').db;
const goOn: (() => void)[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atelier-held-'));
  Object.assign(process.env, environmentFor(folder));
  local = await (await import('./local-bot.ts')).startLocalBot({ crowd: { people: PEOPLE, guilds: 0 } });
  ({ db } = await import('#src/doors/db.ts'));
  channel = await local.channel('portraits');
});
afterEach(() => {
  for (const let_ of goOn.splice(0)) let_();
});
afterAll(async () => {
  await local?.bot.close();
  await local?.close();
  await rm(folder, { recursive: true, force: true });
});

/** The main thread computes, until it is let go. */
async function held(): Promise<() => void> {
  const letGo = await hold(folder);
  goOn.push(letGo);
  return letGo;
}

/** One of the crowd types. Resolves with how that was answered first. */
async function types(
  n: number,
  command: string,
  options: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const found = [...local.sandbox.state.commands.values()].find(({ name }) => name === command);
  const body = JSON.stringify({
    person: `crowd-${n}`,
    channel,
    kind: 'command',
    command: found?.id,
    options,
  });
  const response = await fetch(`${local.sandbox.pageUrl}sandbox/interactions`, { method: 'POST', body });
  return (await response.json()) as Outcome;
}

/** One of the crowd types a word of `/set`, and is offered how it may go on. */
async function suggested(n: number): Promise<readonly unknown[]> {
  const found = [...local.sandbox.state.commands.values()].find(({ name }) => name === 'set');
  const typed = { command: found?.id, options: { parameter: 'ste' }, focused: 'parameter' };
  const body = JSON.stringify({ person: `crowd-${n}`, channel, kind: 'autocomplete', ...typed });
  const response = await fetch(`${local.sandbox.pageUrl}sandbox/interactions`, { method: 'POST', body });
  const outcome = (await response.json()) as Outcome;
  if (outcome.kind !== 'choices') throw new Error(JSON.stringify(outcome));
  return outcome.choices;
}

/** What one then reads. */
async function reads(n: number, outcome: Outcome): Promise<string> {
  if (outcome.kind === 'reply') return outcome.message.content;
  if (outcome.kind !== 'deferred') throw new Error(JSON.stringify(outcome));
  const message = () => local.sandbox.state.message(channel, outcome.message.id, personIdOf(`crowd-${n}`));
  await expect.poll(() => message() && isThinking(message()!), { timeout: 20_000 }).toBe(false);
  return message()?.content ?? '';
}

describe('while the main thread computes', () => {
  it('commands and buttons are acknowledged, and answered once it is done', async () => {
    const options = [{ label: 'A batch', value: 'a' }];
    const select = { type: 3, custom_id: `v1:queue.cancel:${personIdOf('crowd-0')}`, options };
    const card = await local.post(channel, 'A card', [{ type: 1, components: [select] }]);
    const { connectPerson } = await import('#infra/local/discord/person.ts');
    const place = { person: 'member', channel: 'portraits' } as const;
    const presser = await connectPerson(local.sandbox.pageUrl, place);

    const letGo = await held();
    const outcomes = await Promise.all([0, 1, 2].map((n) => types(n, 'help')));
    expect(outcomes.map(({ kind }) => kind)).toEqual(['deferred', 'deferred', 'deferred']);
    expect((await presser.select(card, select.custom_id, ['a'])).kind).toBe('acknowledged');
    letGo();
    for (const [n, outcome] of outcomes.entries()) expect(await reads(n, outcome)).toMatch(HELP);
    expect((await presser.waitForReply()).content).toMatch(/^Only the person who asked for this/);
    presser.close();
  });

  it('that is told by metrics, as it was: in seconds from when it was made until Discord had it', async () => {
    const { metricsText } = await import('#src/doors/metrics.ts');
    const told = async () => {
      const { values } = readScrape(await metricsText());
      const sum = (name: string, labels = {}) =>
        values(`atelier_acknowledge_seconds_${name}`, { by: 'reply', ...labels }).reduce((a, b) => a + b, 0);
      return { count: sum('count'), late: sum('count') - sum('bucket', { le: '2' }) };
    };
    const before = await told();
    const letGo = await held();
    const outcome = await types(0, 'help');
    const { setTimeout: sleep } = await import('node:timers/promises');
    await sleep(2_100);
    letGo();
    await reads(0, outcome);
    const after = await told();
    expect(after.count - before.count).toBe(1);
    expect(after.late - before.late).toBe(0);
  });

  it('and is told to end, it first does what was acknowledged', async () => {
    const letGo = await held();
    const outcomes = await Promise.all([0, 1, 2].map((n) => types(n, 'help')));
    const closed = local.bot.close();
    letGo();
    for (const [n, outcome] of outcomes.entries()) expect(await reads(n, outcome)).toMatch(HELP);
    await closed;
    const { startBot } = await import('#src/services/bot/supervisor.ts');
    local = { ...local, bot: await startBot({ pauseMs: 100 }) };
    expect(await reads(0, await types(0, 'help'))).toMatch(HELP);
  });
});

describe('in hand', () => {
  const charges = (n: number) =>
    db.tokenEntry.count({ where: { userId: personIdOf(`crowd-${n}`)!, reason: 'charge' } });
  /** A place is given back a moment after the answer: for those before, once another is answered. */
  const settled = async () => void (await reads(19, await types(19, 'help')));

  it('are four of one person: who asks a hundred times reads so, pays for four, and others are answered', async () => {
    await settled();
    const others = [1, 2, 3, 4, 5];
    const letGo = await held();
    const mine = await Promise.all(
      Array.from({ length: 100 }, (_, i) => types(0, 'imagine', { prompt: `portrait of a weaver ${i}` })),
    );
    const theirs = await Promise.all(
      others.map((n) => types(n, 'imagine', { prompt: `portrait of a diver ${n}` })),
    );
    // At once: the main thread hears nothing of them.
    expect(mine.filter(({ kind }) => kind === 'reply')).toHaveLength(96);
    letGo();
    const said = await Promise.all(mine.map((outcome) => reads(0, outcome)));
    expect(said.filter((text) => /^Accepted/.test(text))).toHaveLength(4);
    expect(said.filter((text) => MINE.test(text))).toHaveLength(96);
    for (const [i, n] of others.entries()) expect(await reads(n, theirs[i]!)).toMatch(/^Accepted/);
    expect(await charges(0)).toBe(4);
    const { metricsText } = await import('#src/doors/metrics.ts');
    const { values } = readScrape(await metricsText());
    expect(values('atelier_interactions_total', { command: 'imagine', answer: 'refused' })).toEqual([96]);
  });

  it('are four suggestions of one person, apart from those: beyond them nothing is offered, at once', async () => {
    const letGo = await held();
    const all = Array.from({ length: 5 }, () => suggested(7));
    // The one that found no place is answered.
    expect(await Promise.race(all)).toEqual([]);
    const command = await types(7, 'help');
    expect(command.kind).toBe('deferred');
    letGo();
    expect((await Promise.all(all)).filter(({ length }) => length > 0)).toHaveLength(4);
    expect(await reads(7, command)).toMatch(HELP);
    await expect.poll(async () => (await suggested(7)).length).toBeGreaterThan(0);
  });

  it('are 64 of all: those beyond read so and pay nothing, and may come again', async () => {
    await settled();
    const letGo = await held();
    const who = Array.from({ length: 17 * 4 }, (_, i) => i % 17);
    const first = await Promise.all(who.map((n) => types(n, 'help')));
    const beyond = await types(18, 'imagine', { prompt: 'portrait of a smith' });
    expect(await reads(18, beyond)).toMatch(CROWDED);
    expect(await charges(18)).toBe(0);
    letGo();
    const said = await Promise.all(first.map((outcome, i) => reads(who[i]!, outcome)));
    const refused = said.filter((text) => CROWDED.test(text));
    // One more where `settled` has its place still.
    expect([4, 5]).toContain(refused.length);
    expect(said.filter((text) => HELP.test(text))).toHaveLength(said.length - refused.length);
    const again = async () => reads(18, await types(18, 'imagine', { prompt: 'portrait of a smith' }));
    await expect.poll(again).toMatch(/^Accepted/);
    expect(await charges(18)).toBe(1);
  });
});

describe('an interaction', () => {
  it('that is delivered twice is acknowledged twice, and acts once', async () => {
    local.sandbox.misbehave({ deliverTwice: 1 });
    const prompt = 'portrait of a ferryman';
    expect(await reads(6, await types(6, 'imagine', { prompt }))).toMatch(/^Accepted/);
    await reads(6, await types(6, 'help'));
    expect(await db.batch.count({ where: { ownerId: personIdOf('crowd-6')! } })).toBe(1);
  });

  it('whose acknowledgement is refused for a while is acknowledged after that', async () => {
    const route = 'POST /interactions';
    local.sandbox.misbehave({ serverError: { next: 2, when: 'before', status: 502, route } });
    expect(await reads(7, await types(7, 'help'))).toMatch(HELP);
  });
});

it('a gateway thread that ends ends its process, and another takes its place', async () => {
  const before = local.bot.pids[0];
  endThread(folder);
  await expect.poll(() => local.bot.pids[0], { timeout: 20_000 }).not.toBe(before);
  const answer = async () => {
    const outcome = await types(8, 'help');
    return outcome.kind === 'deferred' ? reads(8, outcome) : outcome.kind;
  };
  await expect.poll(answer, { timeout: 20_000 }).toMatch(HELP);
});
