/** People and a real discord.js bot of two shards, meeting in the local Discord; all judged by Discord's own description. */
import { Routes } from 'discord.js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectPerson, filesOf, isEphemeral, type Person, textOf } from '#infra/local/discord/person.ts';
import type { Sandbox } from '#infra/local/discord/sandbox.ts';
import { APPLICATION_ID, commands, picture, startBot, startJudged, type TestBot } from './bot.ts';

let sandbox: Sandbox;
let bot: TestBot;
let member: Person;
let operator: Person;

beforeAll(async () => {
  sandbox = await startJudged({ answerWithinMs: 800 });
  bot = await startBot(sandbox.apiUrl);
  await bot.client.rest.put(Routes.applicationCommands(APPLICATION_ID), { body: commands });
  member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
  operator = await connectPerson(sandbox.pageUrl, { person: 'operator', channel: 'portraits' });
});

afterAll(async () => {
  for (const person of [member, operator]) person.close();
  await bot.close();
  await sandbox.close();
});

afterEach(() => {
  expect(sandbox.violations).toEqual([]);
});

describe('a slash command', () => {
  it('shows "thinking", then the card with its pictures', async () => {
    const outcome = await member.command('imagine', { prompt: 'a lighthouse keeper' });
    expect(outcome.kind).toBe('deferred');
    const reply = await member.waitForReply();
    expect(textOf(reply)).toContain('4 pictures');
    expect(reply.attachments).toEqual([]);
    const files = filesOf(reply);
    expect(files).toHaveLength(4);
    const first = sandbox.state.attachments.get(files[0]!.id);
    expect(first).toMatchObject({ width: 416, height: 608, content_type: 'image/png' });
    const served = await fetch(files[0]!.url);
    expect(served.headers.get('content-type')).toBe('image/png');
    expect((await served.arrayBuffer()).byteLength).toBe(first!.size);
  });

  it('may be refused in private: the deferral goes, an ephemeral follow-up comes', async () => {
    const outcome = await member.command('imagine', { prompt: 'something forbidden' });
    if (outcome.kind !== 'deferred') throw new Error(outcome.kind);
    const reply = await member.waitForReply();
    expect(isEphemeral(reply)).toBe(true);
    expect(reply.content).toContain('real people');
    expect((await member.messages()).some(({ id }) => id === outcome.message.id)).toBe(false);
    expect((await operator.messages()).some(({ id }) => id === reply.id)).toBe(false);
    await member.dismiss(reply);
    expect((await member.messages()).some(({ id }) => id === reply.id)).toBe(false);
  });

  it('is completed by the bot while it is typed', async () => {
    const choices = await member.autocomplete('set', { parameter: 'gui' }, 'parameter');
    expect(choices.map(({ value }) => value)).toEqual(['guidance', 'guidance_cutoff']);
  });

  it('takes files, also in a subcommand', async () => {
    const photo = { filename: 'ada.png', data: await picture(40, 300, 300) };
    await member.command('faces add', { name: 'ada' }, { photo });
    const { embeds } = await member.waitForReply();
    expect(embeds[0]).toMatchObject({ title: 'Face folder ada', description: 'ada.png, 300×300' });
    expect(embeds[0]!.thumbnail!.url).toMatch(/^http/);
    await member.command('faces list');
    expect((await member.waitForReply()).content).toBe('None yet.');
  });

  it('is not sent while it is wrong', async () => {
    await expect(member.command('imagine')).rejects.toThrow('“prompt” is required');
    await expect(member.command('imagine', { prompt: 'x', seed: -1 })).rejects.toThrow('at least 0');
    await expect(member.command('imagine', { prompt: 'x', tier: 'soon' })).rejects.toThrow(
      'one of its choices',
    );
    await expect(member.command('faces')).rejects.toThrow('needs one of: add, list');
  });

  it('is offered by permission', async () => {
    await expect(member.command('settings')).rejects.toThrow('not offered');
    expect((await operator.commands()).map(({ name }) => name)).toContain('settings');
  });

  it('fails for the person when nobody answers in time, and the late answer is refused', async () => {
    const outcome = await member.command('sleep');
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'The application did not respond' });
    const late = bot.heard.at(-1)!;
    if (!late.isRepliable()) throw new Error('not repliable');
    await expect(late.reply('Late.')).rejects.toMatchObject({ code: 10062 });
  });

  it('is answered once: the second answer is refused with 40060', async () => {
    await member.command('set', { parameter: 'steps', value: 3 });
    const { id, token } = bot.heard.at(-1)!;
    const body = { type: 4, data: { content: 'Again' } };
    await expect(
      bot.client.rest.post(Routes.interactionCallback(id, token), { body, auth: false }),
    ).rejects.toMatchObject({ code: 40060, status: 400 });
  });
});

describe('components, modals and menus', () => {
  it('buttons answer, update, delete and open dialogs', async () => {
    await member.command('imagine', { prompt: 'a baker' });
    const card = await member.waitForReply();

    expect((await operator.press(card, 'Again')).kind).toBe('acknowledged');
    expect((await operator.waitForReply()).content).toBe('Once more, then.');
    await expect(member.press(card, 'Upscale')).rejects.toThrow('disabled');

    const modal = await member.press(card, 'details');
    if (modal.kind !== 'modal') throw new Error(modal.kind);
    const files = { files: [{ filename: 'a.png', data: await picture(10) }] };
    const fields = { words: 'Lovely faces', about: ['faces'], who: [operator.id] };
    for (const [wrong, reason] of [
      [{ words: 'no' }, '3 to 4000'],
      [{ words: 'x'.repeat(4_001) }, '3 to 4000'],
      [{ about: ['weather'] }, 'does not offer “weather”'],
      [{ who: [operator.id, operator.id] }, 'takes 1 to 1'],
    ] as const) {
      await expect(member.submitModal(modal.modal, { ...fields, ...wrong })).rejects.toThrow(reason);
    }
    expect((await member.submitModal(modal.modal, fields, files)).kind).toBe('reply');
    expect((await member.waitForReply()).content).toBe('Thanks: Lovely faces (faces, 1 files)');

    const updated = await member.press(card, 'Publish');
    expect(updated.kind).toBe('updated');
    const after = await member.waitForReply();
    expect(textOf(after)).toBe('Published.');
    expect(filesOf(after)).toEqual([]);
  });

  it('selects carry what was chosen', async () => {
    await member.command('imagine', { prompt: 'a diver', private: true });
    const card = await member.waitForReply();
    expect(isEphemeral(card)).toBe(true);
    await member.select(card, 'vary', ['steps']);
    expect((await member.waitForReply()).content).toBe('Sweeping steps');
    await expect(member.select(card, 'vary', [])).rejects.toThrow('Choose 1 to 1');
    await expect(member.select(card, 'vary', ['nothing'])).rejects.toThrow('does not offer “nothing”');
    await member.press(card, 'Delete');
    await expect.poll(async () => (await member.messages()).some(({ id }) => id === card.id)).toBe(false);
  });

  it('message commands know their message', async () => {
    const said = await member.say('What is this?');
    await member.contextMenu('Details', said);
    const reply = await member.waitForReply();
    expect(textOf(reply)).toContain(said.id);
    expect(reply.components!.map(({ type }) => type)).toEqual([9, 13]);
  });
});

describe('places', () => {
  it('guilds are heard by their own shard', async () => {
    const elsewhere = await connectPerson(sandbox.pageUrl, {
      person: 'member',
      guild: 1,
      channel: 'portraits',
    });
    await elsewhere.command('set', { parameter: 'steps', value: 9 });
    expect((await elsewhere.waitForReply()).content).toContain('`9`');
    expect(bot.heard.at(-1)!.guild?.shardId).toBe(1);
    expect(sandbox.connectedShards).toEqual(['0/2', '1/2']);
    elsewhere.close();
  });

  it('direct messages and group chats say how the app got there', async () => {
    const direct = await member.in('dm');
    await direct.command('set', { parameter: 'steps', value: 1 });
    expect((await direct.waitForReply()).content).toContain('steps');
    expect(bot.heard.at(-1)).toMatchObject({
      context: 1,
      authorizingIntegrationOwners: { 0: '0' },
      guildId: null,
    });

    const friends = await member.in('friends');
    expect((await friends.commands()).map(({ name }) => name)).toEqual(['set']);
    await friends.command('set', { parameter: 'steps', value: 2 });
    await friends.waitForReply();
    expect(bot.heard.at(-1)).toMatchObject({ context: 2, authorizingIntegrationOwners: { 1: member.id } });
  });

  it('moderators alone see the review channel', async () => {
    const moderator = await connectPerson(sandbox.pageUrl, { person: 'moderator', channel: 'review' });
    expect(moderator.channelId).toBeTruthy();
    await expect(member.in('review')).rejects.toThrow('sees no channel');
    moderator.close();
  });

  it('the bot learns what it may do there', async () => {
    const barred = await member.in('no-bots');
    await barred.command('set', { parameter: 'steps', value: 2 });
    const { appPermissions } = bot.heard.at(-1)!;
    expect(appPermissions.has('AttachFiles')).toBe(false);
    expect(appPermissions.has('ViewChannel')).toBe(true);
  });
});
