/** `npm run check -- image|migrations|previous [COMMIT]`: what is checked before a deploy, and not by the tests. Ends with 0, or 1 and a sentence. */
import { migrationFaults } from '#infra/database/expand.ts';
import { print } from '#infra/local/print.ts';

const checks: Readonly<Record<string, (commit?: string) => Promise<void>>> = {
  image: async () => (await import('./image/check-image.ts')).checkImage(),
  migrations: checkMigrations,
  previous: async (commit) => (await import('./previous.ts')).checkPrevious(commit),
};

const [what = '', commit, ...rest] = process.argv.slice(2);
const check = Object.hasOwn(checks, what) ? checks[what] : undefined;
if (!check || rest.length || (commit !== undefined && what !== 'previous')) {
  process.stderr.write(`Usage: npm run check -- ${Object.keys(checks).join('|')}\n`);
  process.exit(2);
}
try {
  await check(commit);
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

/** @throws {Error} with a line for each statement that breaks the version before */
async function checkMigrations(): Promise<void> {
  const faults = await migrationFaults();
  if (faults.length) throw new Error(faults.join('\n'));
  print('The version before goes on with every migration.');
}
