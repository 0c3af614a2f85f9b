/** One file writes a table; whoever wants a row changed calls it. */
import { globSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const WRITE = /\b(?:db|tx)\.(\w+)\.(?:create|update|upsert|delete)\w*\(/g;

it('each table is written by one file', () => {
  const writers = new Map<string, Set<string>>();
  for (const file of globSync('{src,commands}/**/*.ts')) {
    for (const [, table = ''] of readFileSync(file, 'utf8').matchAll(WRITE))
      writers.set(table, (writers.get(table) ?? new Set()).add(file));
  }
  const several = [...writers].filter(([, files]) => files.size > 1);
  expect(several.map(([table, files]) => `${table}: ${[...files].join(', ')}`)).toEqual([]);
  expect([...writers.keys()].sort()).toEqual([
    'auditEvent',
    'batch',
    'delivery',
    'faceFolder',
    'facePhoto',
    'generation',
    'guildSettings',
    'idea',
    'image',
    'parameterValue',
    'productionSwitch',
    'review',
    'tokenEntry',
    'user',
    'worker',
  ]);
});
