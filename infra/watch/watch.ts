/**
 * `npm run watch`: the demo, each service in a process of its own, with a real Prometheus and a page that draws the dashboard's panels.
 *
 *   --drill [short]   causes alerts and sees them fire: drill.ts
 *   --rules           what promtool says of the rules: check.ts
 */
import { config } from '#config/env.ts';
import { run } from '#src/services/run.ts';
import { print } from '../local/print.ts';

/** Between two scrapes, and between two evaluations. s */
const SCRAPE_S = 5;
const USAGE = 'Usage: npm run watch [-- --drill [short] | --rules]';
const args = process.argv.slice(2).join(' ');

async function watch() {
  const [{ findBinary }, { setStage }, { servePage }, { rules }] = await Promise.all([
    import('./prometheus.ts'),
    import('./stage.ts'),
    import('./page-server.ts'),
    import('./generate.ts'),
  ]);
  // Before anything is started for nothing.
  findBinary('prometheus');
  const own = config.bundles.some((name) => name !== 'reference');
  const bundles = own ? config.bundles : ['reference', 'noir'];
  const stage = await setStage({ bundles }, { rules: rules(), scrapeS: SCRAPE_S, evaluateS: SCRAPE_S });
  const page = await servePage(stage.prometheus.url, SCRAPE_S);
  print(`\n  Dashboard     ${page.url}\n  Prometheus    ${stage.prometheus.url}/`);
  print(`  Channel page  ${stage.sandbox.pageUrl}\n  Gallery       ${stage.webUrl}/`);
  print('\nType /imagine on the channel page, and see it on the dashboard. Ctrl-C stops everything.');
  return {
    async close() {
      await page.close();
      await stage.close();
    },
  };
}

async function main(): Promise<number> {
  switch (args) {
    case '--rules':
      return (await import('./check.ts')).checkRules();
    case '--drill':
    case '--drill short':
      return (await import('./drill.ts')).drill(args.endsWith('short'));
    default:
      print(USAGE);
      return 2;
  }
}

if (args === '') await run('watch', watch);
else
  main().then(
    (code) => process.exit(code),
    (error: unknown) => {
      process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(1);
    },
  );
