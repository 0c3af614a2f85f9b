/** The local Discord against the real discord.js: two shards in one process, everything judged by Discord's own description. */
import { ChannelType, type Client, DiscordAPIError, Routes } from 'discord.js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectPerson, isEphemeral, type Person, textOf } from '#src/sandbox/person.ts';
import { type Sandbox, startSandbox } from '#src/sandbox/sandbox.ts';
import { APPLICATION_ID, commands, picture, startBot, type TestBot, TOKEN } from './bot.ts';

let sandbox: Sandbox;
let bot: TestBot;
let client: Client<true>;
let member: Person;

beforeAll(async () => {
  sandbox = await startSandbox({
    token: TOKEN,
    applicationId: APPLICATION_ID,
    check: 'openapi',
    rateLimits: false,
    answerWithinMs: 800,
  });
  bot = await startBot(sandbox.apiUrl);
  client = bot.client;
  await client.rest.put(Routes.applicationCommands(APPLICATION_ID), { body: commands });
  member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
});

afterAll(async () => {
  member.close();
  await bot.close();
  await sandbox.close();
});

afterEach(() => {
  expect(sandbox.violations).toEqual([]);
});

describe('people and commands', () => {
  it('shows "thinking", then the card with its pictures', async () => {
    const outcome = await member.command('imagine', { prompt: 'a lighthouse keeper' });
    expect(outcome.kind).toBe('deferred');
    const reply = await member.waitForReply();
    expect(textOf(reply)).toContain('4 pictures');
    expect(reply.attachments).toHaveLength(4);
    const [first] = reply.attachments;
    expect(first).toMatchObject({ width: 416, height: 608, content_type: 'image/png' });
    const served = await fetch(first!.url);
    expect(served.headers.get('content-type')).toBe('image/png');
    expect((await served.arrayBuffer()).byteLength).toBe(first!.size);
  });
});
