/** `/help`: what can be typed, what is kept of a person and how to be rid of it, and where to go on. */
import { ActionRowBuilder, ButtonBuilder, ButtonStyle, SlashCommandBuilder } from 'discord.js';
import { config } from '#config/env.ts';
import type { Say } from '#src/say.ts';
import type { SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';
import { INSTALL } from './permissions.ts';

export default {
  data: new SlashCommandBuilder()
    .setName('help')
    .setDescription('What you can type here, what is kept of you, and links.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall),

  async run({ client }, { say }) {
    const links = new ActionRowBuilder<ButtonBuilder>();
    const link = (label: string, url: string) =>
      links.addComponents(new ButtonBuilder().setStyle(ButtonStyle.Link).setLabel(label).setURL(url));
    if (config.web.publicUrl) link(say('Gallery'), config.web.publicUrl);
    link(say('Add to a server'), client.generateInvite(INSTALL));
    return { content: helpOf(say), components: [links] };
  },
} satisfies SlashCommand;

/** Every command is named here: a test compares. Characters: at most 2,000 in any language. */
export function helpOf(say: Say): string {
  return [
    `### ${say('Draw')}`,
    `- ${say('`/imagine` draws one to four pictures from your words.')}`,
    `- ${say('`/faces add` keeps photos of somebody who said yes; then `/imagine` draws them.')}`,
    `- ${say('`/set` and `/settings`: steps, guidance, shape and more, for all your next pictures.')}`,
    `- ${say('`/queue` shows what waits and what is drawn; `/balance` your tokens.')}`,
    `- ${say('`/gallery` puts a finished picture on the public page, or takes it back.')}`,
    `- ${say('`/detect` tells whether a picture was drawn here, by its marks.')}`,
    `- ${say('`/describe` reads what a picture was asked for with, from its file.')}`,
    `### ${say('Try many at once')}`,
    `- ${say('`/test_face_mecene` tries faces with prompts that Mecene writes from two words.')}`,
    `- ${say('`/sweep` draws a grid over any settings from a short YAML.')}`,
    `### ${say('For those who run a server')}`,
    `- ${say('`/guild` chooses the review channel, the roles, and where pictures may be published.')}`,
    `- ${say('`/tokens` gives tokens and shows where they went.')}`,
    `- ${say('`/review stats` tells what was held back, and what moderators decided.')}`,
    `- ${say('`/rules list` tells which rules count, and which only look on.')}`,
    `### ${say('What is kept')}`,
    say(
      'Your Discord id and language, your settings and tokens, what you asked for, the pictures, and the photos that you added with consent. No other message is read. `/faces remove` deletes photos, and Delete under a picture deletes the picture.',
    ),
  ].join('\n');
}
