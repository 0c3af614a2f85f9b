/**
 * How soon a message leaves while another channel is at its limit, and how many leave in a second: the courier as a process of its own,
 * before a Postgres and a local Discord of the bench, under Discord's limits. Beside it, in the same run, what the limits allow, and a
 * bare @discordjs/rest that posts as many of the same messages, with all of them in memory when it begins.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ChannelType } from 'discord-api-types/v10';
import { childEnv } from '#config/env.ts';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import { PEOPLE, STAFF } from '#infra/local/discord/world.ts';
import { type ServiceProcess, serviceProcess } from '#infra/local/processes.ts';
import { ownPostgres } from '#test/support/own.ts';
import type { Order } from './courier-asker.ts';
import { type Goal, median, say } from './goal.ts';
import { until } from './until.ts';

const ASKER = fileURLToPath(new URL('./courier-asker.ts', import.meta.url));
const TOKEN = 'local.a-token-of-thirty-characters-or-more';
const APPLICATION_ID = '1100000000000000001';

const CARDS = 30;
/** asked for one after the other while the cards wait */
const DIRECT = ['first', 'second', 'third', 'fourth', 'fifth'];
/** What Discord takes of a channel: five messages in five seconds. */
const LIMIT = 5;
const WINDOW_MS = 5_000;
/** For the rate: no channel comes to its limit. */
const CHANNELS = 60;
const EACH = 4;

/** A message that Discord took. */
interface Taken {
  /** ms since the epoch */
  readonly at: number;
  readonly body: unknown;
}

interface Scene {
  readonly sandbox: Sandbox;
  readonly courier: ServiceProcess;
  readonly asker: ChildProcess;
  /** in their order */
  readonly taken: Taken[];
  /** how often Discord answered that it was too much */
  readonly refused: () => number;
}

export async function courier(): Promise<readonly Goal[]> {
  say('cores', String(cpus().length));
  const taken: Taken[] = [];
  let refused = 0;
  const postgres = await ownPostgres();
  const sandbox = await startSandbox({
    token: TOKEN,
    applicationId: APPLICATION_ID,
    onRequest(route, body) {
      if (/^POST .*\/messages$/.test(route)) taken.push({ at: Date.now(), body });
    },
    onLog(line) {
      if (/ 429 \d+ ms$/.test(line)) refused++;
    },
  });
  const env = {
    DATABASE_URL: postgres.url,
    DISCORD_TOKEN: TOKEN,
    DISCORD_APPLICATION_ID: APPLICATION_ID,
    DISCORD_API_URL: sandbox.apiUrl,
    LOG_LEVEL: 'error',
    ...STAFF,
  };
  const service = serviceProcess(['courier'], { env, onLine: () => {}, print: () => {} });
  const asker = fork(ASKER, { env: childEnv(env) });
  try {
    await once(asker, 'message');
    await service.start();
    const scene = { sandbox, courier: service, asker, taken, refused: () => refused };
    const goals = await besideACrowd(scene);
    await perSecond(scene);
    return goals;
  } finally {
    const ended = once(asker, 'exit');
    asker.disconnect();
    await Promise.all([service.stop(), ended]);
    await sandbox.close();
    await postgres.close();
  }
}

/** Thirty cards in one channel, and a direct message now and then. */
async function besideACrowd(scene: Scene): Promise<readonly Goal[]> {
  const { taken, refused } = scene;
  const crowded = newChannel(scene);
  const direct = { channelId: dmOf(scene, PEOPLE.member.id), guildId: null };
  // What is loaded and compiled with the first message is the start bench's.
  await ask(scene, 'warming up', { channelId: dmOf(scene, PEOPLE.other.id), guildId: null });
  await arrival(scene, 'warming up');

  for (let i = 0; i < CARDS; i++) await ask(scene, 'in the crowd', crowded);
  const waits: number[] = [];
  for (const name of DIRECT) {
    const prompt = `the ${name} to me`;
    const askedAt = Date.now();
    await ask(scene, prompt, direct);
    const { at } = await arrival(scene, prompt);
    waits.push(at - askedAt);
    await sleep(WINDOW_MS / LIMIT);
  }
  const cards = () => taken.filter(shows('in the crowd'));
  say(`${CARDS} cards in one channel`, `${cards().length} had left when the last direct message did`);
  await until(() => cards().length === CARDS, 'all cards');
  const tookMs = (cards().at(-1)?.at ?? 0) - (cards()[0]?.at ?? 0);
  const leastMs = (Math.ceil(CARDS / LIMIT) - 1) * WINDOW_MS;
  say(
    '  from the first to the last',
    `${(tookMs / 1_000).toFixed(1)} s, of ${leastMs / 1_000} s by the limit`,
  );
  say('  refused for a limit', `${refused()} of ${taken.length + refused()} requests`);
  say(
    'a direct message, from asked to sent',
    `${median(waits)} ms (${waits.join(', ')}), accepting included`,
  );
  return [
    { name: 'a direct message beside a crowd, ms', got: Math.max(...waits), atMost: 300 },
    { name: 'the crowd, × what its limit allows', got: tookMs / leastMs, atMost: 1.1 },
    { name: 'refused for a limit', got: refused(), atMost: 0 },
  ];
}

/** Messages in many channels that are all due when the courier starts. */
async function perSecond(scene: Scene): Promise<void> {
  const { courier, taken } = scene;
  await courier.stop();
  const channels = Array.from({ length: CHANNELS }, () => newChannel(scene));
  for (let i = 0; i < EACH; i++) for (const place of channels) await ask(scene, 'far and wide', place);
  await courier.start();
  const byCourier = () => taken.filter(shows('far and wide'));
  const messages = CHANNELS * EACH;
  await until(() => byCourier().length === messages, 'all messages');
  const ours = byCourier();

  await sleep(WINDOW_MS);
  const places = Array.from({ length: CHANNELS }, () => newChannel(scene).channelId);
  const bodies = ours.map(({ body }, i) => ({ channelId: places[i % CHANNELS] ?? '', body }));
  const before = taken.length;
  await order(scene, { what: 'post', bodies });

  say(`${messages} messages in ${CHANNELS} channels`, `${rateOf(ours)}/s, each with what its card reads`);
  say('  a bare @discordjs/rest', `${rateOf(taken.slice(before))}/s`);
}

function rateOf(taken: readonly Taken[]): string {
  const ms = (taken.at(-1)?.at ?? 0) - (taken[0]?.at ?? 0);
  return (((taken.length - 1) * 1_000) / ms).toFixed(1);
}

const shows =
  (prompt: string) =>
  ({ body }: Taken) =>
    JSON.stringify(body).includes(prompt);

type Place = Pick<Extract<Order, { what: 'ask' }>, 'channelId' | 'guildId'>;

/** A text channel that nobody has used. */
function newChannel({ sandbox }: Scene): Place {
  const guildId = STAFF.STAFF_GUILD_ID;
  const { id } = sandbox.state.createChannel({ type: ChannelType.GuildText, guildId, name: 'bench' });
  return { channelId: id, guildId };
}

function dmOf({ sandbox }: Scene, personId: string): string {
  const channel = sandbox.state.directChannel(personId);
  if (!channel) throw new Error('no direct messages');
  return channel.id;
}

const ask = (scene: Scene, prompt: string, place: Place) => order(scene, { what: 'ask', prompt, ...place });

/** Waits until it is done. */
async function order({ asker }: Scene, what: Order): Promise<void> {
  const done = once(asker, 'message');
  asker.send(what);
  await done;
}

async function arrival({ taken }: Scene, prompt: string): Promise<Taken> {
  await until(() => taken.some(shows(prompt)), prompt);
  const found = taken.find(shows(prompt));
  if (!found) throw new Error(prompt);
  return found;
}
