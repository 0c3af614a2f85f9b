import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from '/work/main/node_modules/pg/lib/index.js';
import { migrate } from '/work/main/src/migrate.ts';
export default async function setup(project) {
  const dir = await mkdtemp('/tmp/mine/run-');
  const url = 'postgresql://postgres@127.0.0.1:54999/';
  const name = `mine_template_${process.pid}`;
  const c = new pg.Client({ connectionString: `${url}postgres` });
  await c.connect();
  await c.query(`CREATE DATABASE ${name}`);
  await migrate(url + name);
  project.provide('postgresUrl', url);
  project.provide('templateDatabase', name);
  project.provide('redisUrl', null);
  project.provide('bundleDir', dir);
  project.provide('filesDir', join(dir, 'data'));
  return async () => {
    await c.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await c.end();
    await rm(dir, { recursive: true, force: true });
  };
}
