/** `npm start -- all`: every service on this machine, for an operator with a bot's token. */
import { relative } from 'node:path';
import { config, required } from '#config/env.ts';
import { run, type Service } from '#src/services/run.ts';
import { startEverything } from './everything.ts';
import { say } from './say.ts';

await run('all', async (): Promise<Service> => {
  required(config.discord.token, 'DISCORD_TOKEN');
  const { webUrl, logDir, close } = await startEverything();
  say(`  Gallery       ${webUrl}/\n  Logs          ${relative('', logDir)}/`);
  return { url: webUrl, close };
});
