/** A small bot on the real discord.js, with something of everything. Not ours: it exists to exercise the local Discord. */
import {
  ActionRowBuilder,
  AttachmentBuilder,
  ButtonBuilder,
  ButtonStyle,
  type ChatInputCommandInteraction,
  Client,
  ContainerBuilder,
  ContextMenuCommandBuilder,
  FileBuilder,
  FileUploadBuilder,
  GatewayIntentBits,
  type Interaction,
  LabelBuilder,
  MediaGalleryBuilder,
  MessageFlags,
  ModalBuilder,
  SectionBuilder,
  SeparatorBuilder,
  SlashCommandBuilder,
  StringSelectMenuBuilder,
  TextDisplayBuilder,
  TextInputBuilder,
  TextInputStyle,
  ThumbnailBuilder,
  UserSelectMenuBuilder,
} from 'discord.js';
import sharp from 'sharp';
import { type Sandbox, type SandboxOptions, startSandbox } from '#infra/local/discord/sandbox.ts';

export const TOKEN = 'local.test-token-test-token-test-token';
export const APPLICATION_ID = '1100000000000000001';

/** The local Discord as this bot meets it: nobody is limited, and all requests are held against Discord's own description. */
export function startJudged(options: Partial<SandboxOptions> = {}): Promise<Sandbox> {
  return startSandbox({
    token: TOKEN,
    applicationId: APPLICATION_ID,
    check: 'openapi',
    rateLimits: false,
    ...options,
  });
}

const PARAMETERS = [
  'guidance',
  'guidance_cutoff',
  'steps',
  'seed',
  'scheduler',
  'start_merge_step',
  'width',
  'height',
];

export const commands = [
  new SlashCommandBuilder()
    .setName('imagine')
    .setDescription('Draw a portrait from a description.')
    .addStringOption((o) =>
      o.setName('prompt').setDescription('What to draw.').setRequired(true).setMaxLength(1000),
    )
    .addStringOption((o) =>
      o
        .setName('tier')
        .setDescription('How soon, at what price.')
        .addChoices(...['turbo', 'fast', 'relax'].map((name) => ({ name, value: name }))),
    )
    .addIntegerOption((o) => o.setName('seed').setDescription('Same seed, same picture.').setMinValue(0))
    .addBooleanOption((o) => o.setName('private').setDescription('Only you see it.'))
    .addAttachmentOption((o) => o.setName('pose').setDescription('A picture of the pose.')),
  new SlashCommandBuilder()
    .setName('set')
    .setDescription('Change one of your parameters.')
    .setContexts([0, 1, 2])
    .setIntegrationTypes([0, 1])
    .addStringOption((o) =>
      o.setName('parameter').setDescription('Which one.').setRequired(true).setAutocomplete(true),
    )
    .addNumberOption((o) => o.setName('value').setDescription('The new value.').setRequired(true)),
  new SlashCommandBuilder()
    .setName('faces')
    .setDescription('Face folders.')
    .addSubcommand((s) =>
      s
        .setName('add')
        .setDescription('Add a reference photo.')
        .addStringOption((o) => o.setName('name').setDescription('Whose.').setRequired(true))
        .addAttachmentOption((o) => o.setName('photo').setDescription('One face.').setRequired(true)),
    )
    .addSubcommand((s) => s.setName('list').setDescription('Your folders.')),
  new SlashCommandBuilder().setName('feedback').setDescription('Tell us what you think.'),
  new SlashCommandBuilder().setName('sleep').setDescription('Never answers.'),
  new SlashCommandBuilder()
    .setName('settings')
    .setDescription('For operators.')
    .setDefaultMemberPermissions(32n),
  new ContextMenuCommandBuilder().setName('Details').setType(3),
].map((one) => one.toJSON());

export interface TestBot {
  readonly client: Client<true>;
  /** every interaction it heard, newest last */
  readonly heard: Interaction[];
  close(): Promise<void>;
}

export async function startBot(apiUrl: string, shards: readonly number[] = [0, 1]): Promise<TestBot> {
  const heard: Interaction[] = [];
  const client = new Client({
    intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages],
    shards: [...shards],
    shardCount: 2,
    rest: { api: apiUrl, retries: 1 },
  });
  client.on('error', () => {});
  client.on('interactionCreate', (interaction) => {
    heard.push(interaction);
    void answer(interaction).catch(() => {});
  });
  const ready = new Promise<void>((resolve) => client.once('clientReady', () => resolve()));
  await client.login(TOKEN);
  await ready;
  return { client: client as Client<true>, heard, close: () => client.destroy() };
}

export async function picture(hue: number, width = 416, height = 608): Promise<Buffer> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
    <defs><linearGradient id="g" x2="1" y2="1"><stop stop-color="hsl(${hue} 60% 68%)"/><stop offset="1" stop-color="hsl(${hue + 60} 55% 30%)"/></linearGradient></defs>
    <rect width="100%" height="100%" fill="url(#g)"/>
    <ellipse cx="50%" cy="100%" rx="42%" ry="34%" fill="hsl(${hue + 180} 35% 25%)"/>
    <ellipse cx="50%" cy="42%" rx="21%" ry="19%" fill="hsl(28 55% 72%)"/>
    <path d="M ${width * 0.28} ${height * 0.42} Q ${width * 0.5} ${height * 0.08} ${width * 0.72} ${height * 0.42} Q ${width * 0.5} ${height * 0.26} ${width * 0.28} ${height * 0.42}" fill="hsl(${hue + 20} 40% 18%)"/>
  </svg>`;
  return sharp(Buffer.from(svg)).png().toBuffer();
}

/** A finished batch as our own bot might show it. */
export async function card(pictures: number, userId: string) {
  const files = await Promise.all(
    Array.from(
      { length: pictures },
      async (_, i) => new AttachmentBuilder(await picture(i * 80 + 20), { name: `cell-${i}.png` }),
    ),
  );
  const container = new ContainerBuilder()
    .setAccentColor(0x7c5cff)
    .addTextDisplayComponents(
      new TextDisplayBuilder().setContent(
        `### A lighthouse keeper, oil on canvas\n**${pictures} pictures** for <@${userId}> · finished <t:${Math.floor(Date.now() / 1000) - 40}:R>`,
      ),
    )
    .addMediaGalleryComponents(
      new MediaGalleryBuilder().addItems(
        ...files.map((file, i) => ({
          media: { url: `attachment://${file.name}` },
          description: `Seed ${i + 1}`,
        })),
      ),
    )
    .addSeparatorComponents(new SeparatorBuilder())
    .addTextDisplayComponents(
      new TextDisplayBuilder().setContent('-# `guidance 6` · `steps 24` · seed `81725` · 3.4 s · tier fast'),
    )
    .addActionRowComponents(
      new ActionRowBuilder<ButtonBuilder>().addComponents(
        new ButtonBuilder()
          .setCustomId('again')
          .setLabel('Again')
          .setEmoji('🔁')
          .setStyle(ButtonStyle.Primary),
        new ButtonBuilder().setCustomId('details').setLabel('Details').setStyle(ButtonStyle.Secondary),
        new ButtonBuilder().setCustomId('publish').setLabel('Publish').setStyle(ButtonStyle.Success),
        new ButtonBuilder().setCustomId('delete').setLabel('Delete').setStyle(ButtonStyle.Danger),
        new ButtonBuilder()
          .setCustomId('upscale')
          .setLabel('Upscale')
          .setStyle(ButtonStyle.Secondary)
          .setDisabled(true),
      ),
    )
    .addActionRowComponents(
      new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(
        new StringSelectMenuBuilder()
          .setCustomId('vary')
          .setPlaceholder('Vary one parameter…')
          .addOptions(
            ...PARAMETERS.slice(0, 4).map((value) => ({
              label: value,
              value,
              description: `Sweep over ${value}`,
            })),
          ),
      ),
    );
  return { flags: MessageFlags.IsComponentsV2 as const, components: [container], files };
}

async function imagine(interaction: ChatInputCommandInteraction): Promise<void> {
  const hidden = interaction.options.getBoolean('private') ?? false;
  await interaction.deferReply(hidden ? { flags: MessageFlags.Ephemeral } : {});
  if (interaction.options.getString('prompt', true).includes('forbidden')) {
    await interaction.deleteReply();
    await interaction.followUp({
      content: "I can't draw that: it breaks the rule on **real people**. Nothing was charged.",
      flags: MessageFlags.Ephemeral,
    });
    return;
  }
  await interaction.editReply(await card(hidden ? 1 : 4, interaction.user.id));
}

function feedback(): ModalBuilder {
  return new ModalBuilder()
    .setCustomId('feedback')
    .setTitle('What do you think?')
    .addTextDisplayComponents(
      new TextDisplayBuilder().setContent('It goes to the operators of **this server**.'),
    )
    .addLabelComponents(
      new LabelBuilder()
        .setLabel('In a few words')
        .setDescription('Good or bad, both help.')
        .setTextInputComponent(
          new TextInputBuilder().setCustomId('words').setStyle(TextInputStyle.Paragraph).setMinLength(3),
        ),
      new LabelBuilder()
        .setLabel('About')
        .setStringSelectMenuComponent(
          new StringSelectMenuBuilder()
            .setCustomId('about')
            .addOptions({ label: 'Faces', value: 'faces' }, { label: 'Speed', value: 'speed' }),
        ),
      new LabelBuilder()
        .setLabel('Who should read it')
        .setUserSelectMenuComponent(new UserSelectMenuBuilder().setCustomId('who').setRequired(false)),
      new LabelBuilder()
        .setLabel('A picture of it')
        .setFileUploadComponent(
          new FileUploadBuilder().setCustomId('files').setRequired(false).setMaxValues(2),
        ),
    );
}

async function answer(interaction: Interaction): Promise<void> {
  if (interaction.isAutocomplete()) {
    const typed = interaction.options.getFocused();
    const found = PARAMETERS.filter((name) => name.startsWith(typed));
    return interaction.respond(found.map((name) => ({ name, value: name })));
  }
  if (interaction.isChatInputCommand()) {
    switch (interaction.commandName) {
      case 'imagine':
        return imagine(interaction);
      case 'set': {
        const content = `Your **${interaction.options.getString('parameter', true)}** is now \`${interaction.options.getNumber('value', true)}\`.`;
        await interaction.reply({ content, flags: MessageFlags.Ephemeral });
        return;
      }
      case 'faces': {
        if (interaction.options.getSubcommand() === 'list') {
          await interaction.reply({ content: 'None yet.', withResponse: true });
          return;
        }
        const photo = interaction.options.getAttachment('photo', true);
        await interaction.reply({
          embeds: [
            {
              title: `Face folder ${interaction.options.getString('name', true)}`,
              description: `${photo.name}, ${photo.width}×${photo.height}`,
              color: 0x23a55a,
              thumbnail: { url: 'attachment://seen.png' },
              fields: [
                { name: 'Photos', value: '1', inline: true },
                { name: 'Consent', value: 'asked', inline: true },
              ],
              footer: { text: 'Delete it at any time with /faces delete' },
            },
          ],
          files: [{ attachment: await picture(200, 200, 200), name: 'seen.png' }],
        });
        return;
      }
      case 'feedback':
        return void (await interaction.showModal(feedback()));
      default:
        return;
    }
  }
  if (interaction.isMessageContextMenuCommand()) {
    const section = new SectionBuilder()
      .addTextDisplayComponents(
        new TextDisplayBuilder().setContent(`Message \`${interaction.targetMessage.id}\``),
      )
      .setThumbnailAccessory(new ThumbnailBuilder().setURL('attachment://small.png'));
    await interaction.reply({
      flags: MessageFlags.IsComponentsV2 | MessageFlags.Ephemeral,
      components: [section, new FileBuilder().setURL('attachment://facts.json')],
      files: [
        new AttachmentBuilder(await picture(300, 120, 120), { name: 'small.png' }),
        new AttachmentBuilder(Buffer.from('{"steps":24}'), { name: 'facts.json' }),
      ],
    });
    return;
  }
  if (interaction.isModalSubmit()) {
    const words = interaction.fields.getTextInputValue('words');
    const about = interaction.fields.getStringSelectValues('about').join(', ');
    const files = interaction.fields.getUploadedFiles('files')?.size ?? 0;
    await interaction.reply({
      content: `Thanks: ${words} (${about}, ${files} files)`,
      flags: MessageFlags.Ephemeral,
    });
    return;
  }
  if (interaction.isStringSelectMenu()) {
    await interaction.reply({
      content: `Sweeping ${interaction.values.join(', ')}`,
      flags: MessageFlags.Ephemeral,
    });
    return;
  }
  if (interaction.isButton()) {
    if (interaction.customId === 'again') {
      await interaction.deferUpdate();
      await interaction.followUp({ content: 'Once more, then.' });
    } else if (interaction.customId === 'publish') {
      await interaction.update({
        components: [new TextDisplayBuilder().setContent('Published.')],
        attachments: [],
      });
    } else if (interaction.customId === 'delete') {
      await interaction.deferUpdate();
      await interaction.deleteReply();
    } else if (interaction.customId === 'details') await interaction.showModal(feedback());
  }
}
