/** Commands are told by the bot that carries shard 0, before the local Discord. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';

const TOKEN = 'local.a-token-of-thirty-characters-or-more';
const APPLICATION = '1100000000000000001';
const COMMANDS = '/applications/{application_id}/commands';
const asked: string[] = [];
let sandbox: Sandbox;
let db: typeof import('#src/doors/db.ts').db;
let startBot: typeof import('#src/services/bot/supervisor.ts').startBot;

beforeAll(async () => {
  sandbox = await startSandbox({
    token: TOKEN,
    applicationId: APPLICATION,
    identifyPauseMs: 0,
    onRequest: (route) => void (route.includes('/commands') && asked.push(route)),
  });
  Object.assign(process.env, {
    DISCORD_TOKEN: TOKEN,
    DISCORD_APPLICATION_ID: APPLICATION,
    DISCORD_API_URL: sandbox.apiUrl,
    SHARDS: '2',
  });
  ({ db } = await import('#src/doors/db.ts'));
  ({ startBot } = await import('#src/services/bot/supervisor.ts'));
});
afterAll(() => sandbox?.close());

/** What the bot asks about commands, from its start until it is ready. */
async function told(): Promise<string[]> {
  asked.length = 0;
  await db.identifyTurn.deleteMany(); // this Discord lets a shard come back at once
  await (await startBot({ shardsPerProcess: 1 })).close();
  return [...asked];
}

it('once, and again only when they changed', async () => {
  expect(await told()).toEqual([`GET ${COMMANDS}`, `PUT ${COMMANDS}`]);
  expect(await told()).toEqual([`GET ${COMMANDS}`]);
  for (const command of sandbox.state.commands.values())
    Object.assign(command, { description: 'An older one.' });
  expect(await told()).toEqual([`GET ${COMMANDS}`, `PUT ${COMMANDS}`]);
});

it('and when Discord does not take them, the bot ends with a sentence', async () => {
  process.env.DISCORD_APPLICATION_ID = '1100000000000000002';
  await expect(startBot()).rejects.toThrow(/^Discord did not take the commands: /);
});
