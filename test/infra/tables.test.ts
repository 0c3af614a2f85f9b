/** One file writes a table; whoever wants a row changed calls it. */
import { globSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const WRITE =
  /\b(?:db|tx)\.(\w+)\.(?:create|update|upsert|delete)\w*\(|\b(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"/g;

it('each table is written by one file', () => {
  const writers = new Map<string, Set<string>>();
  for (const file of globSync('{src,commands}/**/*.ts')) {
    for (const [, model, table = ''] of readFileSync(file, 'utf8').matchAll(WRITE)) {
      const name = model ?? table.charAt(0).toLowerCase() + table.slice(1);
      writers.set(name, (writers.get(name) ?? new Set()).add(file));
    }
  }
  const several = [...writers].filter(([, files]) => files.size > 1);
  expect(several.map(([table, files]) => `${table}: ${[...files].join(', ')}`)).toEqual([]);
  expect([...writers.keys()].sort()).toEqual([
    'apiKey',
    'apiRequest',
    'auditEvent',
    'batch',
    'clock',
    'correction',
    'cost',
    'delivery',
    'faceFolder',
    'facePhoto',
    'flow',
    'galleryChange',
    'generation',
    'guildSettings',
    'idea',
    'identifyTurn',
    'image',
    'installation',
    'parameterValue',
    'preview',
    'productionSwitch',
    'range',
    'review',
    'ruleCount',
    'ruleSet',
    'session',
    'signIn',
    'tokenEntry',
    'user',
    'worker',
  ]);
});
