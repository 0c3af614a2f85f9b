/** `npm run check -- migrations`, with migrations that were made up. */
import { expect, it } from 'vitest';
import { migrationFaults } from '#infra/database/expand.ts';

const faultsOf = (sql: string) => migrationFaults([{ name: '20990101000000_made_up', sql }]);

it.each([
  ['ALTER TABLE "User" DROP COLUMN "locale";', 'drops a column'],
  ['ALTER TABLE "User" ADD COLUMN a INT, DROP "locale";', 'drops a column'],
  ['DROP TABLE "Face";', 'drops a table'],
  ['DROP TABLE IF EXISTS "Face" CASCADE;', 'drops a table'],
  ['ALTER TABLE "User" RENAME COLUMN "locale" TO "language";', 'renames'],
  ['ALTER TABLE "User" RENAME TO "Person";', 'renames'],
  ["ALTER TYPE \"Verdict\" RENAME VALUE 'clear' TO 'fine';", 'renames'],
  ['ALTER TABLE "User" ADD COLUMN "age" INTEGER NOT NULL;', 'must be given'],
  ['alter table "User" alter column "locale" set not null;', 'may leave out'],
  ['ALTER TABLE "User" ALTER COLUMN "locale" DROP DEFAULT;', 'may leave out'],
  ['ALTER TABLE "User" ALTER COLUMN "strikes" TYPE BIGINT;', 'changes a type'],
  ['ALTER TABLE "User" ALTER COLUMN "strikes" SET DATA TYPE BIGINT;', 'changes a type'],
  ['CREATE UNIQUE INDEX a ON "Preset"("name");', 'refuses rows'],
  ['CREATE INDEX a ON "Generation"("seed");', 'CONCURRENTLY'],
  ['ALTER TABLE "Image" ADD CONSTRAINT a CHECK (bytes > 0);', 'NOT VALID'],
  ['ALTER TABLE "Image" ADD CONSTRAINT a FOREIGN KEY (x) REFERENCES "User"(id);', 'NOT VALID'],
  ['ALTER TABLE "Image" ADD CONSTRAINT a UNIQUE (sha256);', 'USING INDEX'],
  ['SELECT 1; CREATE INDEX CONCURRENTLY a ON "Generation"("seed");', 'alone in its migration'],
  ['TRUNCATE "Cost";', 'empties'],
  ['-- contract:\nDROP TABLE "Face";', 'drops a table'],
  ['SELECT 1;\n-- contract: too late, nobody sees it here\nDROP TABLE "Face";', 'drops a table'],
  ['-- locks: this is the other mark\nDROP TABLE "Face";', 'drops a table'],
])('refuses %j', async (sql, why) => {
  const faults = await faultsOf(sql);
  expect(faults.join('\n')).toContain(why);
  expect(faults[0]).toMatch(/^20990101000000_made_up: /);
});

it.each([
  'ALTER TABLE "User" ADD COLUMN "age" INTEGER;',
  'ALTER TABLE "User" ADD COLUMN "age" INTEGER NOT NULL DEFAULT 0, ADD COLUMN "b" TEXT;',
  'ALTER TABLE "User" ADD COLUMN "n" NUMERIC(10, 2) NOT NULL DEFAULT 0;',
  'CREATE TABLE "New" (id INT NOT NULL); CREATE UNIQUE INDEX a ON "New"(id); ALTER TABLE "New" ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES "User"(id);',
  'CREATE INDEX CONCURRENTLY a ON "Generation"("seed");',
  'CREATE INDEX a ON "Preset"("name");',
  'ALTER TABLE "Image" ADD CONSTRAINT a CHECK (bytes > 0) NOT VALID;',
  'ALTER TABLE "Image" VALIDATE CONSTRAINT a;',
  'ALTER TABLE "Image" DROP CONSTRAINT a;',
  'ALTER TABLE "User" ALTER COLUMN "locale" DROP NOT NULL;',
  'ALTER TYPE "Verdict" ADD VALUE \'unsure\';',
  'DROP INDEX "a";',
  '-- DROP TABLE "Face";\nUPDATE "User" SET locale = \'x; DROP TABLE y\' /* DROP TABLE z; */;',
  '-- contract: the version that read it went out in May\nALTER TABLE "User" DROP COLUMN "locale";',
  '-- Fewer rows.\n-- locks: a thousand rows at most, in our largest stage\nCREATE INDEX a ON "Session"("userId");',
])('lets %j pass', async (sql) => {
  expect(await faultsOf(sql)).toEqual([]);
});

it('looks at those that are there, and not at those older than the rule', async () => {
  expect(await migrationFaults()).toEqual([]);
  expect(await migrationFaults([{ name: '20261120230000_init', sql: 'DROP TABLE "User"' }])).toEqual([]);
});
