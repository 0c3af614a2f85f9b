import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { openLogFiles } from '#infra/local/log-files.ts';

let dir: string;
afterEach(() => rm(dir, { recursive: true, force: true }));

it('gives each service the lines that name it, and each of a process those that name none', async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-logs-'));
  const logs = await openLogFiles(join(dir, 'logs'), ['web', 'bot', 'worker']);
  const shared = ['web', 'bot'];
  logs.write(shared, '{"level":30,"service":"web","msg":"web is ready"}');
  logs.write(shared, '{"level":30,"service":"bot","shard":0,"msg":"resumed"}');
  logs.write(shared, '{"level":30,"service":"web bot","msg":"closing"}');
  // What a service logged is not what it is.
  logs.write(shared, '{"level":30,"service":"bot","seen":{"service":"web"},"msg":"\\"service\\":\\"web\\""}');
  logs.write(['worker'], 'TypeError: x is not a function');
  await logs.close();

  const read = async (name: string) => (await readFile(join(dir, `logs/${name}.log`), 'utf8')).split('\n');
  expect(await read('web')).toEqual([
    '{"level":30,"service":"web","msg":"web is ready"}',
    '{"level":30,"service":"web bot","msg":"closing"}',
    '',
  ]);
  expect(await read('bot')).toEqual([
    '{"level":30,"service":"bot","shard":0,"msg":"resumed"}',
    '{"level":30,"service":"web bot","msg":"closing"}',
    '{"level":30,"service":"bot","seen":{"service":"web"},"msg":"\\"service\\":\\"web\\""}',
    '',
  ]);
  expect(await read('worker')).toEqual(['TypeError: x is not a function', '']);
});
