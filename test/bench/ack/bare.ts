/** What the bot is measured beside: a discord.js client that defers, and does nothing else. */
import { Client, Events, GatewayIntentBits, MessageFlags } from 'discord.js';
import { config } from '#config/env.ts';

const client = new Client({
  intents: [GatewayIntentBits.Guilds],
  shards: [0],
  shardCount: 1,
  rest: { api: config.discord.apiUrl },
});
client.on(Events.InteractionCreate, (interaction) => {
  if (interaction.isRepliable()) void interaction.deferReply({ flags: MessageFlags.Ephemeral });
});
client.once(Events.ClientReady, () => process.send?.('ready'));
process.on('disconnect', () => process.exit());
await client.login(config.discord.token);
