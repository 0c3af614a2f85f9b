import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { z } from 'zod';

/** Until it ends. */
function start(
  command: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number; says: string }> {
  return new Promise((done) => {
    execFile(process.execPath, command, { env: { ...process.env, ...env } }, (error, out, err) =>
      done({ code: error ? Number(error.code) : 0, says: out + err }),
    );
  });
}

it.each([
  [
    'a bad variable',
    ['src/main.ts', 'web'],
    { WEB_PORT: 'secret-value' },
    /^\nweb: Bad environment \(see \.env\.example\):\n {2}WEB_PORT: .+\n$/,
  ],
  [
    'a token that is missing',
    ['src/main.ts', 'bot'],
    { DISCORD_TOKEN: '' },
    /^\nbot: DISCORD_TOKEN is not set \(see \.env\.example\)\.\n$/,
  ],
  [
    'a token that is missing for everything at once',
    ['infra/local/all.ts'],
    { DISCORD_TOKEN: '' },
    /^\nall: DISCORD_TOKEN is not set \(see \.env\.example\)\.\n$/,
  ],
  [
    'an unknown option',
    ['infra/local/demo.ts', '--fast'],
    {},
    /^\ndemo: Unknown option --fast\. There is one: --script\n$/,
  ],
])('%s is one sentence, without a stack or its value', async (_, command, env, sentence) => {
  const { code, says } = await start(command, env);
  expect(says).toMatch(sentence);
  expect(says).not.toMatch(/secret-value|\n {4}at /);
  expect(code).toBe(1);
});

it.each([[[]], [['everything']], [['web', 'demo']]])(
  'without a service, or with %j, one reads which there are',
  async (names) => {
    expect(await start(['src/main.ts', ...names])).toEqual({
      code: 2,
      says: 'Usage: node src/main.ts bot|worker|courier|mecene|web …\n',
    });
  },
);

it('starts several services in one process, names each in its lines, and closes them together', async () => {
  const child = fork('src/main.ts', ['mecene', 'web'], {
    env: { ...process.env, WEB_PORT: '0', LOG_LEVEL: 'info' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    text += String(chunk);
  });
  const [message] = await once(child, 'message');
  const { url } = z.object({ ready: z.literal(true), url: z.url() }).parse(message);
  expect((await fetch(`${url}/health`)).status).toBe(200);

  child.kill('SIGTERM');
  expect(await once(child, 'close')).toEqual([0, null]);
  const lines = text.trim().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    ...['mecene', 'web'].map((service) => expect.objectContaining({ service })),
    { service: 'mecene web', reason: 'SIGTERM', msg: 'closing' },
  ]);
});
