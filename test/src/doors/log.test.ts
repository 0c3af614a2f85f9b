import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

it('says the context on every line in it, across awaits, and on each line only its own facts', () => {
  const script = `import { log, withContext } from '#src/doors/log.ts';
    await withContext({ service: 'web' }, async () => {
      log.info({ steps: 20 }, 'first');
      await withContext({ generationId: 7 }, async () => {
        await new Promise(setImmediate);
        log.warn('second');
      });
      log.info({ service: 'web and others' }, 'third');
      log.info('fourth');
    });
    log.info('fifth');`;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, LOG_LEVEL: 'info' },
  });
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.map(({ level: _, time: __, pid: ___, ...said }) => said)).toEqual([
    { msg: 'first', service: 'web', steps: 20 },
    { msg: 'second', service: 'web', generationId: 7 },
    { msg: 'third', service: 'web and others' },
    { msg: 'fourth', service: 'web' },
    { msg: 'fifth' },
  ]);
});
