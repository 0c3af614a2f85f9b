/** What a person reads when a service does not start. */
import { execFile } from 'node:child_process';
import { expect, it } from 'vitest';

function start(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number; says: string }> {
  return new Promise((done) => {
    execFile(
      process.execPath,
      ['src/main.ts', ...args],
      { env: { ...process.env, ...env } },
      (error, out, err) => done({ code: error ? Number(error.code) : 0, says: out + err }),
    );
  });
}

it.each([
  [
    'a bad variable',
    ['web'],
    { WEB_PORT: 'secret-value' },
    /^\nweb: Bad environment \(see \.env\.example\):\n {2}WEB_PORT: .+\n$/,
  ],
  [
    'a token that is missing',
    ['bot'],
    { DISCORD_TOKEN: '' },
    /^\nbot: DISCORD_TOKEN is not set \(see \.env\.example\)\.\n$/,
  ],
  ['an unknown option', ['demo', '--fast'], {}, /^\ndemo: Unknown option --fast\. There is one: --script\n$/],
])('%s is one sentence, without a stack or its value', async (_, args, env, sentence) => {
  const { code, says } = await start(args, env);
  expect(says).toMatch(sentence);
  expect(says).not.toMatch(/secret-value|\n {4}at /);
  expect(code).toBe(1);
});

it('an unknown service is answered with those there are', async () => {
  expect(await start(['everything'])).toEqual({
    code: 2,
    says: 'Usage: node src/main.ts bot|worker|courier|mecene|web|all|demo\n',
  });
});
