/** Which process starts again for which file, in the repository as it is. */
import { describe, expect, it } from 'vitest';
import { filesOf, modulesOf, readImports } from '#infra/local/sources.ts';

const imports = readImports();
const processes = [['worker'], ['courier', 'mecene', 'web'], ['bot']];
const runBy = (file: string) =>
  processes.filter((names) => filesOf(names, imports).has(file)).map((names) => names.join(' '));

describe('a process runs', () => {
  it.each([
    ['commands/imagine.ts', ['bot']],
    // named by its URL, as a process of its own
    ['src/services/bot/shard.ts', ['bot']],
    ['src/services/bot/dispatch.ts', ['bot']],
    ['src/services/web/pages.ts', ['courier mecene web']],
    // loaded when it is needed
    ['src/services/mecene/models.ts', ['courier mecene web']],
    // a thread
    ['src/services/worker/draw-thread.ts', ['worker']],
    ['pipelines/portrait.ts', ['worker']],
    ['src/services/run.ts', ['worker', 'courier mecene web', 'bot']],
    ['src/doors/db.ts', ['worker', 'courier mecene web', 'bot']],
    ['config/env.ts', ['worker', 'courier mecene web', 'bot']],
    ['infra/local/dev.ts', []],
  ])('%s: %j', (file, names) => {
    expect(runBy(file)).toEqual(names);
  });
});

it('knows the modules that read a file', () => {
  expect(modulesOf('config/gallery.yaml')).toContain('config/gallery.ts');
  expect(modulesOf('src/services/web/style.css')).toContain('src/services/web/layout.ts');
  expect(modulesOf('src/services/web/pages.ts')).toEqual(['src/services/web/pages.ts']);
});

it('knows that a folder and what an editor leaves for a moment are nobody’s', () => {
  for (const file of ['src/services/web', 'src/services/4913', 'src/main.ts~', 'src/gone/file.yaml'])
    expect(modulesOf(file)).toEqual([]);
});
