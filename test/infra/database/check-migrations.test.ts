/** `npm run check-migrations`, with the real migrations, and with a schema that has one column more. */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-schema-'));
  await cp('prisma/schema.prisma', join(dir, 'schema.prisma'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function check(...args: string[]): Promise<{ code: number; text: string }> {
  return new Promise((done) => {
    execFile(process.execPath, ['infra/database/check-migrations.ts', ...args], (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, text: stdout + stderr }),
    );
  });
}

it('agrees while the migrations make what the schema says', async () => {
  expect(await check()).toMatchObject({ code: 0, text: expect.stringContaining('No difference detected') });
});

it('ends with 2 and says what differs when they do not', async () => {
  const schema = join(dir, 'schema.prisma');
  const text = await readFile(schema, 'utf8');
  await writeFile(schema, text.replace(/^model Generation \{/m, 'model Generation {\n  planted Int?'));
  const { code, text: says } = await check(schema);
  expect(says).toMatch(/planted/);
  expect(says).toMatch(/npm run migrate/);
  expect(code).toBe(2);
});
