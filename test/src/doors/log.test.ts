import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

/** The lines of a script that has `log` and `withContext`. */
function said(script: string): object[] {
  const source = `import { log, withContext } from '#src/doors/log.ts';\n${script}`;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', source], {
    encoding: 'utf8',
    env: { ...process.env, LOG_LEVEL: 'info' },
  });
  return stderr
    .trim()
    .split('\n')
    .map((line) => {
      const { level: _, time: __, pid: ___, ...facts } = JSON.parse(line);
      return facts;
    });
}

it('says the context on every line in it, across awaits, and on each line only its own facts', () => {
  const script = `
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
  expect(said(script)).toEqual([
    { msg: 'first', service: 'web', steps: 20 },
    { msg: 'second', service: 'web', generationId: 7 },
    { msg: 'third', service: 'web and others' },
    { msg: 'fourth', service: 'web' },
    { msg: 'fifth' },
  ]);
});

it('says what goes wrong again and again once a second, and how often it was held back', () => {
  const script = `
    let now = 0;
    performance.now = () => now;
    for (; now <= 2_000; now += 10) log.warn({ now }, 'queue');
    now = 60_000;
    log.warn({ now }, 'queue');
    now += 1_000;
    log.warn({ now }, 'queue');`;
  expect(said(script)).toEqual([
    { msg: 'queue', now: 0 },
    { msg: 'queue', now: 1_000, heldBack: 99 },
    { msg: 'queue', now: 2_000, heldBack: 99 },
    { msg: 'queue', now: 60_000 },
    { msg: 'queue', now: 61_000 },
  ]);
});

it('tells apart what is said and by which service, and holds back no ordinary line and none that is quoted', () => {
  const script = `for (let i = 0; i < 2; i++) {
      for (const service of ['web', 'bot'])
        withContext({ service }, () => { log.warn('away'); log.error({ i }, 'broken'); log.info('drawn'); });
    }
    for (const errorId of ['a', 'b']) log.error({ errorId }, 'unexpected error');`;
  const first = ['web', 'bot'].flatMap((service) => [
    { service, msg: 'away' },
    { service, msg: 'broken', i: 0 },
    { service, msg: 'drawn' },
  ]);
  expect(said(script)).toEqual([
    ...first,
    { service: 'web', msg: 'drawn' },
    { service: 'bot', msg: 'drawn' },
    { errorId: 'a', msg: 'unexpected error' },
    { errorId: 'b', msg: 'unexpected error' },
  ]);
});
