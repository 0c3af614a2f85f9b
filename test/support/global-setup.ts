/**
 * Once for a whole run: a Postgres with a migrated template database, a Redis where there is one, and the reference
 * bundle. What ran is said at the end, and with ATELIER_REQUIRE=redis,chromium,radosgw the run fails where it did not.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { whatIsMissing } from '#infra/deploy/k8s/rendered.ts';
import { freePort } from '#infra/local/free-port.ts';
import { startPostgres } from '#infra/local/postgres.ts';
import { hasRadosgw } from '#infra/local/radosgw.ts';
import { findRedis, startRedis } from '#infra/local/redis.ts';
import { ensureReferenceBundle } from '#src/bundles/ensure.ts';
import { migrate } from '#src/doors/migrate.ts';
import { findChromium } from './browser.ts';
import { isRequired, required } from './required.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** a superuser's URL, without a database name */
    postgresUrl: string;
    templateDatabase: string;
    redisUrl: string | null;
    bundleDir: string;
    filesDir: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.REDIS_URL;
  const binary = given ? null : findRedis(process.env.PATH ?? '');
  const present = new Set([
    ...(given || binary ? ['redis'] : []),
    ...(findChromium() ? ['chromium'] : []),
    ...(hasRadosgw(process.env.PATH ?? '') ? ['radosgw'] : []),
    // Npm's: nobody is asked for before the test that needs it.
    'registry',
  ]);
  const missing = required.filter((name) => !present.has(name));
  if (missing.length) throw new Error(`ATELIER_REQUIRE names ${missing.join(', ')}, which was not found.`);

  say('Starting Postgres, and Redis where there is one …');
  const dir = await mkdtemp(join(tmpdir(), 'atelier-test-'));
  const postgres = await startPostgres({ dataDir: join(dir, 'postgres'), keep: false });
  await migrate(postgres.url('template_atelier'));
  const redis = binary ? await startRedis(binary, await freePort()) : null;
  const redisUrl = given || redis?.url || null;

  say('Preparing the reference bundle (seconds, when it changed) …');
  const bundleDir = join(process.cwd(), '.atelier/test-bundle');
  await ensureReferenceBundle(bundleDir);

  project.provide('postgresUrl', postgres.url(''));
  project.provide('templateDatabase', 'template_atelier');
  project.provide('redisUrl', redisUrl);
  project.provide('bundleDir', bundleDir);
  project.provide('filesDir', join(dir, 'data'));

  return async () => {
    await redis?.stop();
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
    const backends = redisUrl
      ? 'postgres, redis'
      : 'postgres (no redis-server was found, and REDIS_URL is not set)';
    const browser = findChromium() ? 'chromium' : 'none found: browser tests were skipped';
    const storage = `a folder, a strict S3${isRequired('radosgw') ? ', Ceph' : ''}`;
    const missing = whatIsMissing();
    const manifests = missing ? `skipped: ${missing}` : 'rendered and validated';
    process.stdout.write(
      `\nqueue backends: ${backends}\nstorage: ${storage}\nbrowser: ${browser}\nKubernetes' manifests: ${manifests}\n`,
    );
  };
}

function say(what: string): void {
  process.stdout.write(`${what}\n`);
}
