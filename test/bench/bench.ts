/**
 * How fast the parts are, as ratios measured side by side in one run: `npm run bench [-- portrait]`.
 *
 * Seconds differ from machine to machine; what a portrait takes beyond its networks does not.
 */
import { pipeline } from './pipeline.ts';
import { portrait } from './portrait.ts';

const benches: Record<string, () => Promise<void>> = { portrait, pipeline };

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(benches, name));
if (unknown.length) {
  throw new Error(`There is no bench ${unknown.join(', ')}; there is ${Object.keys(benches).join(', ')}.`);
}
for (const [name, run] of Object.entries(benches)) {
  if (asked.length && !asked.includes(name)) continue;
  process.stdout.write(`\n${name}\n`);
  await run();
}
