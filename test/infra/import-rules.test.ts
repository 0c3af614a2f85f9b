/** Who may import whom, as the linter sees it: a planted file in each place imports everything. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

/** word → a file of ours, or a package */
const everything = {
  onnxruntime: 'onnxruntime-node',
  bullmq: 'bullmq',
  ioredis: 'ioredis',
  prisma: '@prisma/client',
  'prisma/client': 'prisma/client/client.ts',
  commands: 'commands/index.ts',
  pipelines: 'pipelines/portrait.ts',
  config: 'config/load.ts',
  subject: 'src/batches/batches.ts',
  bot: 'src/services/bot/dispatch.ts',
  worker: 'src/services/worker/worker.ts',
  courier: 'src/services/courier/courier.ts',
  mecene: 'src/services/mecene/mecene.ts',
  web: 'src/services/web/web.ts',
  sandbox: 'infra/local/discord/sandbox.ts',
  demo: 'infra/local/demo.ts',
};

/** [file, what it may import] */
const places = [
  ['src/planted.ts', 'config subject'],
  ['src/cards/planted.ts', 'config subject'],
  ['src/doors/db.ts', 'prisma prisma/client config subject'],
  ['src/doors/queue.ts', 'bullmq ioredis config subject'],
  ['src/doors/migrate.ts', 'bullmq ioredis config subject'],
  ['src/embedded/planted.ts', 'bullmq ioredis config subject'],
  ['src/doors/onnx.ts', 'onnxruntime pipelines config subject'],
  ['src/bundles/ensure.ts', 'pipelines config subject'],
  ['src/bundle/planted.ts', 'pipelines config subject'],
  ['src/main.ts', 'config subject bot worker courier mecene web sandbox demo'],
  ['src/bot/planted.ts', 'commands config subject bot'],
  ['src/worker/planted.ts', 'pipelines config subject worker'],
  ['src/courier/planted.ts', 'config subject courier'],
  ['src/mecene/planted.ts', 'config subject mecene'],
  ['src/web/planted.ts', 'config subject web'],
  ['src/sandbox/planted.ts', 'config subject sandbox'],
  ['src/demo/planted.ts', 'pipelines config subject sandbox demo'],
  ['commands/planted.ts', 'commands config subject bot'],
  ['pipelines/planted.ts', 'pipelines'],
  ['pipelines/sdxl/planted.ts', 'pipelines'],
  ['config/planted.ts', 'config'],
] as const;

/** A file of ours is named from the root or from where one stands. */
function spellings(file: string, imported: string): string[] {
  if (!imported.endsWith('.ts')) return [imported];
  const near = relative(dirname(file), imported);
  return [`#${imported}`, near.startsWith('.') ? near : `./${near}`];
}
const imports = (file: string, of: readonly string[]) => of.flatMap((imported) => spellings(file, imported));
const all = Object.values(everything);

const Report = z.object({
  diagnostics: z.array(
    z.object({ location: z.object({ path: z.string(), start: z.object({ line: z.number() }) }) }),
  ),
});

let dir: string;
/** `file:line` */
let refused: Set<string>;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-lint-'));
  const rules = z.record(z.string(), z.unknown()).parse(JSON.parse(await readFile('biome.json', 'utf8')));
  delete rules.$schema;
  await writeFile(join(dir, 'biome.json'), JSON.stringify({ ...rules, vcs: { enabled: false } }));
  const plant = async (file: string, lines: string[]) => {
    await mkdir(dirname(join(dir, file)), { recursive: true });
    await writeFile(join(dir, file), lines.join('\n'));
  };
  for (const [file] of places)
    await plant(
      file,
      imports(file, all).map((imported) => `export * from '${imported}';`),
    );
  await plant('src/web/forms.ts', [
    `import { startBot } from '#src/services/bot/supervisor.ts';`,
    `import type { Command } from '#commands/command.ts';`,
    `export const later = () => import('#src/services/bot/supervisor.ts');`,
    `export const then = (command: Command) => [startBot, command];`,
  ]);
  const text = await new Promise<string>((done) => {
    execFile(
      resolve('node_modules/.bin/biome'),
      ['lint', '--only=style/noRestrictedImports', '--reporter=json', '--max-diagnostics=none', '.'],
      { cwd: dir, maxBuffer: 16 * 1024 * 1024 },
      (_, out) => done(out),
    );
  });
  const { diagnostics } = Report.parse(JSON.parse(text));
  refused = new Set(diagnostics.map(({ location }) => `${location.path}:${location.start.line}`));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

it.each(places)('%s may import %s', (file, may) => {
  const allowed = imports(file, all).filter((_, i) => !refused.has(`${file}:${i + 1}`));
  const words = Object.entries(everything).filter(([word]) => may.split(' ').includes(word));
  expect(allowed).toEqual(
    imports(
      file,
      words.map(([, imported]) => imported),
    ),
  );
});

it('holds for types, and for what is imported later', () => {
  expect([1, 2, 3, 4].filter((line) => refused.has(`src/web/forms.ts:${line}`))).toEqual([1, 2, 3]);
});
