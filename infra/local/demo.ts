/**
 * `npm run demo [-- --script]`: everything on this machine, without anything to set up. With `--script` it types the main
 * commands as a person would, prints what was posted, and ends.
 */
import { relative } from 'node:path';
import { config } from '#config/env.ts';
import { run, type Service } from '#src/services/run.ts';
import { startEverything } from './everything.ts';
import { print } from './print.ts';
import { setUpServers } from './set-up.ts';

await run('demo', () => startDemo(process.argv.slice(2)));

async function startDemo(args: readonly string[]): Promise<Service> {
  const scripted = args.includes('--script');
  const unknown = args.filter((arg) => arg !== '--script');
  if (unknown.length) throw new Error(`Unknown option ${unknown.join(' ')}. There is one: --script`);
  if (scripted && config.discord.token)
    throw new Error('--script types into the local Discord: unset DISCORD_TOKEN to use it.');

  // Where nothing else was brought there is a second one to choose.
  const own = config.bundles.some((name) => name !== 'reference');
  const bundles = own ? config.bundles : ['reference', 'noir'];
  const { sandbox, webUrl, logDir, close } = await startEverything({ checked: scripted, bundles });
  if (sandbox) print(`\n  Channel page  ${sandbox.pageUrl}`);
  print(
    `  Gallery       ${webUrl}/\n  Draw          ${webUrl}/draw\n  Logs          ${relative('', logDir)}/`,
  );
  if (!scripted || !sandbox) {
    print('\nOpen the channel page and type /imagine, or draw on the web. Ctrl-C stops everything.');
    // While the page opens. In an older demo's data nobody is greeted any more.
    if (sandbox)
      setUpServers(sandbox).catch(() => print('\nNo greeting came: set the servers up with /guild.'));
    return { close };
  }

  try {
    const { runScript } = await import('./script.ts');
    await setUpServers(sandbox);
    await runScript(sandbox, print);
  } finally {
    await close();
  }
  process.exit(0);
}
