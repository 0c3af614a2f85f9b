/** Who may import whom, as the linter sees it: one planted file for each rule. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

const SUBJECT = '#src/batches.ts';
/** [file, what it imports, whether it may] */
const plants = [
  ['commands/planted.ts', SUBJECT, true],
  ['commands/planted-2.ts', '#pipelines/portrait.ts', false],
  ['commands/planted-3.ts', '#src/worker/worker.ts', false],
  ['commands/planted-4.ts', 'bullmq', false],
  ['pipelines/planted.ts', './tensor.ts', true],
  ['pipelines/planted-2.ts', '#config/env.ts', false],
  ['pipelines/planted-3.ts', SUBJECT, false],
  ['pipelines/planted-4.ts', 'onnxruntime-node', false],
  ['config/planted.ts', 'zod', true],
  ['config/planted-2.ts', SUBJECT, false],
  ['src/planted.ts', './queue.ts', true],
  ['src/planted-2.ts', 'bullmq', false],
  ['src/planted-3.ts', 'ioredis', false],
  ['src/planted-4.ts', '@prisma/client', false],
  ['src/planted-5.ts', 'onnxruntime-node', false],
  ['src/planted-6.ts', '#pipelines/portrait.ts', false],
  ['src/planted-7.ts', './web/web.ts', false],
  ['src/queue.ts', 'bullmq', true],
  ['src/models.ts', 'onnxruntime-node', true],
  ['src/bot/planted.ts', '#commands/index.ts', true],
  ['src/bot/planted-2.ts', '#src/courier/courier.ts', false],
  ['src/courier/planted.ts', SUBJECT, true],
  ['src/courier/planted-2.ts', '#commands/index.ts', false],
  ['src/mecene/planted.ts', '#src/bot/dispatch.ts', false],
  ['src/web/planted.ts', '#pipelines/portrait.ts', false],
  ['src/worker/planted.ts', '#pipelines/portrait.ts', true],
  ['src/worker/planted-2.ts', '#src/bot/dispatch.ts', false],
] as const;

const Report = z.object({
  diagnostics: z.array(z.object({ category: z.string(), location: z.object({ path: z.unknown() }) })),
});

let dir: string;
let refused: Set<string>;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-lint-'));
  const rules = z.record(z.string(), z.unknown()).parse(JSON.parse(await readFile('biome.json', 'utf8')));
  delete rules.$schema;
  await writeFile(join(dir, 'biome.json'), JSON.stringify({ ...rules, vcs: { enabled: false } }));
  for (const [file, imported] of plants) {
    await mkdir(dirname(join(dir, file)), { recursive: true });
    await writeFile(join(dir, file), `import * as it from '${imported}';\n\nexport { it };\n`);
  }
  const text = await new Promise<string>((done) => {
    const options = { cwd: dir, maxBuffer: 16 * 1024 * 1024 };
    execFile(
      resolve('node_modules/.bin/biome'),
      ['lint', '--reporter=json', '--max-diagnostics=none', '.'],
      options,
      (_, out) => done(out),
    );
  });
  const { diagnostics } = Report.parse(JSON.parse(text));
  const ofImports = diagnostics.filter(({ category }) => category === 'lint/style/noRestrictedImports');
  refused = new Set(ofImports.map(({ location }) => JSON.stringify(location.path)));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

it.each(plants)('%s imports %s: %s', (file, _, may) => {
  expect([...refused].some((path) => path.includes(`${file}"`))).toBe(!may);
});
