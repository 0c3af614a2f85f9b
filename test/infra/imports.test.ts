/** Who may import whom: a planted file in each place imports one file of every floor, and each package that has a door. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { faultsOf, importsOf } from '#infra/imports.ts';

/** word → a file of ours */
const floors = {
  config: 'config/load.ts',
  pipelines: 'pipelines/portrait.ts',
  door: 'src/doors/log.ts',
  subject: 'src/batches/batches.ts',
  cards: 'src/cards/cards.ts',
  commands: 'commands/index.ts',
  bot: 'src/services/bot/dispatch.ts',
  worker: 'src/services/worker/worker.ts',
  courier: 'src/services/courier/courier.ts',
  mecene: 'src/services/mecene/mecene.ts',
  web: 'src/services/web/web.ts',
  run: 'src/services/run.ts',
  infra: 'infra/local/demo.ts',
  prisma: 'prisma/client/client.ts',
} as const;

/** [file, what it may import] */
const places = [
  ['config/planted.ts', 'config'],
  ['pipelines/planted.ts', 'pipelines'],
  ['pipelines/sdxl/planted.ts', 'pipelines'],
  ['src/doors/planted.ts', 'config door'],
  ['src/doors/db.ts', 'config door prisma'],
  ['src/doors/onnx.ts', 'config door pipelines'],
  ['src/planted.ts', 'config door subject'],
  ['src/people/planted.ts', 'config door subject'],
  ['src/bundles/planted.ts', 'config door subject pipelines'],
  ['src/cards/planted.ts', 'config door subject cards'],
  ['commands/planted.ts', 'config door subject cards commands'],
  ['src/services/bot/planted.ts', 'config door subject cards commands bot run'],
  ['src/services/worker/planted.ts', 'config door subject cards pipelines worker run'],
  ['src/services/worker/requests/planted.ts', 'config door subject cards pipelines worker run'],
  ['src/services/courier/planted.ts', 'config door subject cards courier run'],
  ['src/services/mecene/planted.ts', 'config door subject cards mecene run'],
  ['src/services/web/planted.ts', 'config door subject cards web run'],
  ['src/services/planted.ts', 'config door subject cards run'],
  ['src/main.ts', 'config door bot worker courier mecene web run'],
  ['infra/planted.ts', Object.keys(floors).join(' ')],
  ['test/planted.test.ts', Object.keys(floors).join(' ')],
] as const;

/** A file of ours is named from the root or from where one stands. */
function spellings(file: string, imported: string): string[] {
  const near = relative(dirname(file), imported);
  return [`#${imported}`, near.startsWith('.') ? near : `./${near}`];
}

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-imports-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function plant(file: string, lines: readonly string[]): Promise<void> {
  await mkdir(dirname(join(dir, file)), { recursive: true });
  await writeFile(join(dir, file), lines.join('\n'));
}

describe('imports of files', () => {
  it.each(places)('%s may import %s', async (file, may) => {
    const refused: string[] = [];
    for (const [word, imported] of Object.entries(floors)) {
      for (const line of spellings(file, imported).flatMap((name) => [
        `export * from '${name}';`,
        `import type { Some } from '${name}';`,
        `const later = () => import('${name}');`,
      ])) {
        await plant(file, [line]);
        const faults = faultsOf(new Map([[file, importsOf(dir).get(file) ?? []]]));
        if (faults.length) refused.push(word);
      }
    }
    const wanted = Object.keys(floors).filter((word) => !may.split(' ').includes(word));
    expect([...new Set(refused)]).toEqual(wanted);
    // Each in all of its spellings.
    expect(refused).toHaveLength(wanted.length * 6);
    await rm(join(dir, file));
  });

  it('are said with what is allowed', async () => {
    await plant('src/cards/planted.ts', [`import { startBot } from '#src/services/bot/supervisor.ts';`]);
    expect(faultsOf(importsOf(dir))).toEqual([
      'src/cards/planted.ts imports src/services/bot/supervisor.ts: cards may import subjects, doors, config',
    ]);
    await rm(join(dir, 'src/cards/planted.ts'));
  });

  it('make no circle, by types either', async () => {
    await plant('src/one.ts', [`import { two } from './people/two.ts';`]);
    await plant('src/people/two.ts', [`import type { Three } from '#src/three.ts';`]);
    await plant('src/three.ts', [`export const later = () => import('./one.ts');`]);
    await plant('src/four.ts', [`export * from './one.ts';`]);
    expect(faultsOf(importsOf(dir))).toEqual([
      'A circle: src/one.ts → src/people/two.ts → src/three.ts → src/one.ts',
    ]);
  });

  it('keep the rules in this repository', () => {
    expect(faultsOf(importsOf(process.cwd()))).toEqual([]);
  });
});

describe('packages with a door', () => {
  /** file → the packages that it may import */
  const doors = {
    'config/planted.ts': [],
    'pipelines/planted.ts': [],
    'commands/planted.ts': [],
    'src/planted.ts': [],
    'src/services/worker/planted.ts': [],
    'src/doors/planted.ts': [],
    'src/doors/onnx.ts': ['onnxruntime-node'],
    'src/doors/queue.ts': ['bullmq', 'ioredis'],
    'src/doors/db.ts': ['@prisma/client', '@prisma/adapter-pg'],
  };
  const packages = [...new Set(Object.values(doors).flat())].sort();
  const Report = z.object({
    diagnostics: z.array(
      z.object({ location: z.object({ path: z.string(), start: z.object({ line: z.number() }) }) }),
    ),
  });

  it('are imported there alone', async () => {
    const root = await mkdtemp(join(tmpdir(), 'atelier-biome-'));
    try {
      const rules = z.record(z.string(), z.unknown()).parse(JSON.parse(await readFile('biome.json', 'utf8')));
      delete rules.$schema;
      await writeFile(join(root, 'biome.json'), JSON.stringify({ ...rules, vcs: { enabled: false } }));
      for (const file of Object.keys(doors)) {
        await mkdir(dirname(join(root, file)), { recursive: true });
        const lines = packages.map((name) => `export * from '${name}';`);
        await writeFile(join(root, file), lines.join('\n'));
      }
      const args = [
        'lint',
        '--only=style/noRestrictedImports',
        '--reporter=json',
        '--max-diagnostics=none',
        '.',
      ];
      const text = await new Promise<string>((done) => {
        execFile(
          resolve('node_modules/.bin/biome'),
          args,
          { cwd: root, maxBuffer: 16 * 1024 * 1024 },
          (_, out) => done(out),
        );
      });
      const refused = new Set(
        Report.parse(JSON.parse(text)).diagnostics.map(
          ({ location: { path, start } }) => `${path} ${packages[start.line - 1]}`,
        ),
      );
      const allowed = Object.keys(doors).map((file) => [
        file,
        packages.filter((name) => !refused.has(`${file} ${name}`)),
      ]);
      expect(Object.fromEntries(allowed)).toEqual(
        Object.fromEntries(Object.entries(doors).map(([file, names]) => [file, [...names].sort()])),
      );
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });
});
