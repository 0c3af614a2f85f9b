/**
 * A bot on another library than ours, which shares no code with discord.js: what works only because both sides were written
 * by the same people would fail here. Over each compression that it knows, and all judged by Discord's own description.
 */
import {
  type AnyInteractionGateway,
  ApplicationCommandTypes,
  ButtonStyles,
  Client,
  ComponentTypes,
  type CompressionType,
  InteractionTypes,
  MessageFlags,
  ApplicationCommandOptionTypes as Option,
  TextInputStyles,
} from 'oceanic.js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectPerson, isEphemeral, type Person, textOf } from '#infra/local/discord/person.ts';
import type { Sandbox } from '#infra/local/discord/sandbox.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import { picture, startJudged, TOKEN } from './bot.ts';

const STYLES = ['oil', 'ink', 'chalk'];

async function answer(interaction: AnyInteractionGateway): Promise<void> {
  if (interaction.type === InteractionTypes.APPLICATION_COMMAND_AUTOCOMPLETE) {
    const typed = String(interaction.data.options.getFocused(true).value);
    const found = STYLES.filter((name) => name.startsWith(typed));
    await interaction.result(found.map((name) => ({ name, value: name })));
  } else if (interaction.type === InteractionTypes.APPLICATION_COMMAND) {
    await interaction.defer();
    const style = interaction.data.options.getString('style', true);
    await interaction.editOriginal({
      flags: MessageFlags.IS_COMPONENTS_V2,
      components: [
        { type: ComponentTypes.TEXT_DISPLAY, content: `In **${style}**, for ${interaction.user.mention}` },
        { type: ComponentTypes.MEDIA_GALLERY, items: [{ media: { url: 'attachment://drawn.png' } }] },
        {
          type: ComponentTypes.ACTION_ROW,
          components: [
            { type: ComponentTypes.BUTTON, style: ButtonStyles.PRIMARY, customID: 'again', label: 'Again' },
            { type: ComponentTypes.BUTTON, style: ButtonStyles.SECONDARY, customID: 'say', label: 'Say' },
          ],
        },
      ],
      files: [{ name: 'drawn.png', contents: await picture(120) }],
    });
  } else if (interaction.type === InteractionTypes.MESSAGE_COMPONENT) {
    if (interaction.data.customID === 'again') {
      await interaction.createMessage({ content: 'Once more.', flags: MessageFlags.EPHEMERAL });
      return;
    }
    const words = {
      type: ComponentTypes.TEXT_INPUT,
      customID: 'words',
      style: TextInputStyles.SHORT,
    } as const;
    await interaction.createModal({
      customID: 'said',
      title: 'Say something',
      components: [{ type: ComponentTypes.LABEL, label: 'In a few words', component: words }],
    });
  } else if (interaction.type === InteractionTypes.MODAL_SUBMIT) {
    const words = interaction.data.components.getTextInput('words', true);
    await interaction.createMessage({ content: `You said: ${words}` });
  }
}

describe.each<[string, CompressionType | false]>([
  ['uncompressed', false],
  ['over zlib', 'zlib-stream'],
  ['over zstd', 'zstd-stream'],
])('%s', (_, compress) => {
  let sandbox: Sandbox;
  let bot: Client;
  let member: Person;
  const problems: string[] = [];

  beforeAll(async () => {
    sandbox = await startJudged({ answerWithinMs: 1_500 });
    bot = new Client({
      auth: `Bot ${TOKEN}`,
      rest: { baseURL: `${sandbox.apiUrl}/v10` },
      gateway: { compress, intents: ['GUILDS', 'GUILD_MESSAGES', 'DIRECT_MESSAGES'], maxShards: 2 },
    });
    bot.on('error', (error) => problems.push(String(error)));
    bot.on('interactionCreate', (interaction) => {
      answer(interaction).catch((error: unknown) => problems.push(String(error)));
    });
    const ready = new Promise<void>((resolve) => bot.once('ready', resolve));
    await bot.connect();
    await ready;
    await bot.application.bulkEditGlobalCommands([
      {
        type: ApplicationCommandTypes.CHAT_INPUT,
        name: 'draw',
        description: 'Draws something.',
        descriptionLocalizations: { de: 'Zeichnet etwas.' },
        options: [
          { type: Option.STRING, name: 'style', description: 'How.', required: true, autocomplete: true },
        ],
      },
    ]);
    member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
  });

  afterEach(() => {
    expect(problems).toEqual([]);
    expect(sandbox.violations).toEqual([]);
  });

  afterAll(async () => {
    member?.close();
    bot?.disconnect(false);
    await sandbox?.close();
  });

  it('hears of its servers on both shards', () => {
    expect([...sandbox.connectedShards].sort()).toEqual(['0/2', '1/2']);
    expect(bot.guilds.map(({ name }) => name).sort()).toEqual(['Atelier', 'Salon']);
  });

  it('completes, answers, edits with a picture, and takes presses and words', async () => {
    expect((await member.autocomplete('draw', { style: 'i' }, 'style')).map(({ value }) => value)).toEqual([
      'ink',
    ]);
    expect((await member.command('draw', { style: 'ink' })).kind).toBe('deferred');
    const card = await member.waitForReply();
    expect(textOf(card)).toContain(`In **ink**, for <@${PEOPLE.member.id}>`);

    await member.press(card, 'Again');
    const again = await member.waitForReply();
    expect([again.content, isEphemeral(again)]).toEqual(['Once more.', true]);
    const form = await member.press(card, 'Say');
    if (form.kind !== 'modal') throw new Error(form.kind);
    await member.submitModal(form.modal, { words: 'hello' });
    expect((await member.waitForReply()).content).toBe('You said: hello');
  });

  it('writes, reacts, starts threads, deletes and sends direct messages', async () => {
    const { rest } = bot;
    const message = await rest.channels.createMessage(member.channelId, {
      embeds: [{ title: 'A title', color: 0x7c5cff, image: { url: 'attachment://a.png' } }],
      files: [{ name: 'a.png', contents: await picture(10) }],
      allowedMentions: { users: [PEOPLE.member.id] },
    });
    expect(message.embeds[0]!.image!.url).toMatch(/a\.png\?ex=/);
    await rest.channels.editMessage(member.channelId, message.id, { content: 'edited' });
    await rest.channels.createReaction(member.channelId, message.id, '👍');
    const thread = await rest.channels.startThreadFromMessage(member.channelId, message.id, { name: 'more' });
    await rest.channels.createMessage(thread.id, { content: 'in the thread' });
    const others = [
      await rest.channels.createMessage(member.channelId, { content: '1' }),
      await rest.channels.createMessage(member.channelId, { content: '2' }),
    ];
    await rest.channels.deleteMessages(
      member.channelId,
      others.map(({ id }) => id),
    );
    const direct = await rest.users.createDM(PEOPLE.member.id);
    await rest.channels.createMessage(direct.id, { content: 'in private' });
    await expect(rest.channels.createMessage('1', { content: 'x' })).rejects.toMatchObject({ code: 10003 });
  });

  it('comes back after a reconnect, and hears again', async () => {
    const resumed = new Promise((resolve) => bot.once('shardResume', resolve));
    sandbox.misbehave({ reconnect: true });
    await resumed;
    await expect.poll(() => sandbox.connectedShards.length, { timeout: 20_000 }).toBe(2);
    await member.command('draw', { style: 'oil' });
    expect(textOf(await member.waitForReply())).toContain('In **oil**');
  });
});
