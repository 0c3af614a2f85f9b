/** `/guild`: where flagged pictures are reviewed, and which roles operate and moderate. */
import { ChannelType, PermissionFlagsBits, SlashCommandBuilder } from 'discord.js';
import type { GuildSettings } from '#src/doors/db.ts';
import { changeGuild, guildSettings } from '#src/guilds.ts';
import { mustAdminister } from '#src/people/rights.ts';
import type { SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';
import { mustHave, POSTING } from './permissions.ts';

export default {
  data: new SlashCommandBuilder()
    .setName('guild')
    .setDescription('Settings of this server.')
    .setDefaultMemberPermissions(PermissionFlagsBits.ManageGuild)
    .setContexts(Context.Guild)
    .setIntegrationTypes(Install.GuildInstall)
    .addSubcommand((sub) => sub.setName('show').setDescription('Show them.'))
    .addSubcommand((sub) =>
      sub
        .setName('review_channel')
        .setDescription('Where flagged pictures wait for a moderator.')
        .addChannelOption((o) =>
          o
            .setName('channel')
            .setDescription('One that only moderators see.')
            .addChannelTypes(ChannelType.GuildText)
            .setRequired(true),
        ),
    )
    .addSubcommand((sub) =>
      sub
        .setName('operators')
        .setDescription('Who may set production mode and end other people’s batches.')
        .addRoleOption((o) => o.setName('role').setDescription('Leave it out for none.')),
    )
    .addSubcommand((sub) =>
      sub
        .setName('moderators')
        .setDescription('Who decides on flagged pictures.')
        .addRoleOption((o) => o.setName('role').setDescription('Leave it out for none.')),
    ),

  async run({ options, guild, client }, { actor }) {
    // Anyone who manages integrations can change Discord's own rights for commands, so ours are asked as well.
    const guildId = mustAdminister(actor);
    const roleIds = () => {
      const role = options.getRole('role');
      return role ? [role.id] : [];
    };
    switch (options.getSubcommand()) {
      case 'review_channel': {
        const { id } = options.getChannel('channel', true);
        const given = guild?.channels.cache.get(id)?.permissionsFor(client.user);
        if (given) mustHave(given, POSTING);
        return card(await changeGuild(actor, { reviewChannelId: id }));
      }
      case 'operators':
        return card(await changeGuild(actor, { operatorRoleIds: roleIds() }));
      case 'moderators':
        return card(await changeGuild(actor, { moderatorRoleIds: roleIds() }));
      default:
        return card(await guildSettings(guildId));
    }
  },
} satisfies SlashCommand;

function card(settings: GuildSettings | null): string {
  const { reviewChannelId = null, operatorRoleIds = [], moderatorRoleIds = [] } = settings ?? {};
  const roles = (ids: readonly string[]) => ids.map((id) => `<@&${id}>`).join(', ') || 'none';
  return [
    `Review channel: ${reviewChannelId ? `<#${reviewChannelId}>` : 'none, so flagged pictures wait unseen. Choose one with `/guild review_channel`.'}`,
    `Operators: ${roles(operatorRoleIds)}`,
    `Moderators: ${roles(moderatorRoleIds)}`,
    'People who may Manage Server are both.',
  ].join('\n');
}
