import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { startSandbox } from '#infra/local/discord/sandbox.ts';
import { freePort } from '#infra/local/free-port.ts';

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

it('a port of the metrics that is taken is named', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  const port = typeof address === 'object' ? String(address?.port) : '';
  const { code, says } = await start(['src/main.ts', 'web'], { METRICS_PORT: port, WEB_PORT: '0' });
  taken.close();
  expect([code, says]).toEqual([
    1,
    `\nweb: /metrics cannot have its port ${port}: set METRICS_PORT to another.\n`,
  ]);
});

it.each([[[]], [['everything']], [['web', 'demo']]])(
  'without a service, or with %j, one reads which there are',
  async (names) => {
    expect(await start(['src/main.ts', ...names])).toEqual({
      code: 2,
      says: 'Usage: node [--inspect[=port]] src/main.ts bot|worker|courier|mecene|web …\n',
    });
  },
);

it('a storage that can’t be used is named, and what to do about it', async () => {
  const keys = { S3_ACCESS_KEY_ID: 'id', S3_SECRET_ACCESS_KEY: 'hush' };
  const s3 = { S3_BUCKET: 'pictures', S3_ENDPOINT: 'http://127.0.0.1:9', ...keys };
  const child = fork('src/main.ts', ['mecene'], {
    env: { ...process.env, ...s3 },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    text += String(chunk);
  });
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(text).toContain(
    "mecene: S3 can't be reached at http://127.0.0.1:9 (ECONNREFUSED). Is it running, and is S3_ENDPOINT right?",
  );
  expect(text).not.toContain('hush');
});

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
  expect((await fetch(`${url}/readyz`)).status).toBe(200);

  child.kill('SIGTERM');
  expect(await once(child, 'close')).toEqual([0, null]);
  const lines = text.trim().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { service: 'mecene web', msg: 'metrics are told', port: expect.any(Number) },
    ...['mecene', 'web'].map((service) => expect.objectContaining({ service })),
    { service: 'mecene web', reason: 'SIGTERM', msg: 'closing' },
  ]);
});

it('gives Node’s debugger to the shards when the bot is started with it', async () => {
  const account = { token: 'local.a-token-of-thirty-characters', applicationId: '1100000000000000001' };
  const sandbox = await startSandbox(account);
  const port = await freePort();
  const child = fork('src/main.ts', ['bot'], {
    execArgv: [`--inspect=127.0.0.1:${port}`],
    env: {
      ...process.env,
      DISCORD_TOKEN: account.token,
      DISCORD_APPLICATION_ID: account.applicationId,
      DISCORD_API_URL: sandbox.apiUrl,
    },
    stdio: 'ignore',
  });
  try {
    await once(child, 'message');
    const processes: unknown = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
    expect(processes).toMatchObject([{ url: expect.stringMatching(/src\/services\/bot\/shard\.ts$/) }]);
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
    await sandbox.close();
  }
});
