/** Prisma's command line, with the engine of prisma/schema-engine.mjs and a Postgres of its own. */
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childEnv } from '#config/env.ts';
import { startPostgres } from '#infra/local/postgres.ts';
import { migrate } from '#src/doors/migrate.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs `prisma …` in this terminal and gives its exit code. */
export async function prisma(
  args: readonly string[],
  output: 'inherit' | 'ignore' = 'inherit',
): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'atelier-prisma-'));
  const postgres = await startPostgres({ dataDir: join(dir, 'postgres'), keep: false });
  try {
    await migrate(postgres.url('atelier'));
    // `env node` could be an older one than this.
    const engine = join(dir, 'schema-engine');
    await writeFile(
      engine,
      `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'prisma/schema-engine.mjs')}' "$@"\n`,
    );
    await chmod(engine, 0o755);
    const cli = createRequire(import.meta.url).resolve('prisma/build/index.js');
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: root,
      stdio: output,
      env: childEnv({ PRISMA_SCHEMA_ENGINE_BINARY: engine, DATABASE_URL: postgres.url('atelier') }),
    });
    return await new Promise((done, fail) => {
      child.on('error', fail);
      child.on('exit', (code) => done(code ?? 1));
    });
  } finally {
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  }
}
