/**
 * `npm run torture -- MINUTES SEED [redis|postgres]`: everything on this machine with two workers, people who type, and whatever can go
 * wrong, as the seed has it. When all is quiet again a reader of its own looks at what is there, and a table says what it found.
 *
 * It lies beside the tests, not in infra/: it runs nothing for anybody, and its parts are tested here.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layGround } from './ground.ts';
import { type Backend, makePlan } from './plan.ts';

const [minutesText = '', seedText = '', backend = 'postgres'] = process.argv.slice(2);
const [minutes, seed] = [Number(minutesText), Number(seedText)];
const isBackend = (text: string): text is Backend => ['redis', 'postgres'].includes(text);
if (!(minutes > 0) || !Number.isInteger(seed) || seedText === '' || !isBackend(backend)) {
  process.stderr.write('Usage: npm run torture -- MINUTES SEED [redis|postgres]\n');
  process.exit(2);
}

process.exitCode = 1;
const root = await mkdtemp(join(tmpdir(), 'atelier-torture-'));
await chmod(root, 0o755);
const ground = await layGround(backend, join(root, 'postgres'));
try {
  // Read once, by whatever is imported from here on.
  Object.assign(process.env, {
    DATABASE_URL: ground.postgres.url,
    DATA_DIR: root,
    LOG_LEVEL: 'info',
    ONNX_THREADS: '1',
  });
  for (const name of ['DISCORD_TOKEN', 'PUBLIC_URL', 'REDIS_URL']) delete process.env[name];
  if (ground.redis) process.env.REDIS_URL = ground.redis.url;
  const { run } = await import('./run.ts');
  if (await run(makePlan(minutes, seed, backend), root, ground)) process.exitCode = 0;
} finally {
  await ground.postgres.stop();
  await ground.redis?.stop();
  await rm(root, { recursive: true, force: true });
}
process.exit();
