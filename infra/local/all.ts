/** `npm start -- all`: every service on this machine, for an operator with a bot's token. */
import { relative } from 'node:path';
import { config, required } from '#config/env.ts';
import { run, type Service } from '#src/services/run.ts';
import { startEverything } from './everything.ts';
import { print } from './print.ts';

await run('all', async (): Promise<Service> => {
  const [unknown] = process.argv.slice(2);
  if (unknown)
    throw new Error(`Unknown option ${unknown}. There is none; one service alone takes --inspect.`);
  required(config.discord.token, 'DISCORD_TOKEN');
  const { webUrl, logDir, close } = await startEverything();
  print(`  Gallery       ${webUrl}/\n  Logs          ${relative('', logDir)}/`);
  return { url: webUrl, close };
});
