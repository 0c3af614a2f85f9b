/** `/detect`: whether a picture has marks of this Atelier, of another, or somebody's signature. For everybody, of any picture. */
import { ActionRowBuilder, ButtonBuilder, ButtonStyle, SlashCommandBuilder } from 'discord.js';
import { config } from '#config/env.ts';
import { detectionOf } from '#src/cards/detection.ts';
import { detectUpload } from '#src/marks/detect.ts';
import type { SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';

/** Discord takes so many buttons in a row. */
const LINKS_MAX = 5;

export default {
  data: new SlashCommandBuilder()
    .setName('detect')
    .setDescription('See whether a picture was drawn here, by its marks.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall)
    .addAttachmentOption((o) =>
      o.setName('picture').setDescription('JPEG, PNG, WebP or AVIF.').setRequired(true),
    ),

  async run({ options }, { actor, say }) {
    const { title, lines, pictures } = detectionOf(
      say,
      await detectUpload(actor.id, options.getAttachment('picture', true)),
    );
    const { publicUrl } = config.web;
    const links = pictures.slice(0, LINKS_MAX).flatMap((id) =>
      publicUrl
        ? new ButtonBuilder()
            .setStyle(ButtonStyle.Link)
            .setLabel(say('See the picture'))
            .setURL(new URL(`/pictures/${id}`, publicUrl).href)
        : [],
    );
    return {
      content: [`### ${title}`, ...lines.map((line) => `- ${line}`)].join('\n'),
      components: links.length ? [new ActionRowBuilder<ButtonBuilder>().addComponents(links)] : [],
    };
  },
} satisfies SlashCommand;
