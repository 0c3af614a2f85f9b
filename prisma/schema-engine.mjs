#!/usr/bin/env node
// Prisma's schema engine without a download: the engine's own WebAssembly, spoken to over stdio as Prisma's command line speaks
// to the binary (JSON-RPC, one message a line). Set PRISMA_SCHEMA_ENGINE_BINARY to this file; infra/database/prisma.ts does.
//
// It reaches into @prisma/adapter-pg, so the versions of prisma, adapter-pg and schema-engine-wasm are pinned together. Known
// limits: the first URL of --datasource, no preview features, no URL parameter but `schema`.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import * as wasm from '@prisma/schema-engine-wasm/schema_engine_bg';
import pg from 'pg';

const require = createRequire(import.meta.url);
const args = process.argv.slice(2);
const argument = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
const url = new URL(
  JSON.parse(argument('--datasource') ?? '{}').url ??
    process.env.DATABASE_URL ??
    'postgresql://localhost/none',
);
const schema = url.searchParams.get('schema') ?? undefined;
const connection = {
  host: url.hostname,
  port: Number(url.port || 5432),
  user: decodeURIComponent(url.username),
  password: decodeURIComponent(url.password),
  database: url.pathname.slice(1),
};

/** The lines that Prisma reads from the engine's stderr. */
function log(level, message, more = {}) {
  const line = {
    timestamp: new Date().toISOString(),
    level,
    fields: { message, ...more },
    target: 'schema_engine::logger',
  };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

/** `cli can-connect-to-database` and `cli create-database`: an exit code, and an error code in the log. */
async function runCli(command) {
  const client = new pg.Client({
    ...connection,
    ...(command === 'create-database' && { database: 'postgres' }),
  });
  try {
    await client.connect();
    if (command === 'create-database')
      await client.query(`CREATE DATABASE ${client.escapeIdentifier(connection.database)}`);
    await client.end();
    return 0;
  } catch (error) {
    const codes = { '3D000': 'P1003', ECONNREFUSED: 'P1001', '28P01': 'P1000' };
    log('ERROR', error.message || error.code, { error_code: codes[error.code] ?? 'P1010', is_panic: false });
    return 1;
  }
}
if (args.includes('cli')) process.exit(await runCli(args.at(-1)));

/** The adapter does not know Postgres's "char" (18), of which the catalogues are full: it is given them as text (25). */
function withChars(adapter) {
  const queryRaw = adapter.queryRaw;
  adapter.queryRaw = async (query) => {
    const result = await adapter.performIO(query);
    const chars = result.fields.flatMap((field, i) => (field.dataTypeID === 18 ? [i] : []));
    const fields = result.fields.map((field) =>
      field.dataTypeID === 18 ? { ...field, dataTypeID: 25 } : field,
    );
    const once = Object.create(adapter);
    once.performIO = async () => ({ ...result, fields });
    const rows = await queryRaw.call(once, query);
    for (const i of chars) rows.columnTypes[i] = 6;
    return rows;
  };
  const { startTransaction } = adapter;
  if (startTransaction)
    adapter.startTransaction = async (...a) => withChars(await startTransaction.apply(adapter, a));
  return adapter;
}

const factory = new PrismaPg(connection, { schema });
const connect = factory.connect.bind(factory);
factory.connect = async () => withChars(await connect());
// The adapter's own shadow database is the main one, and is dropped before its pool is closed.
factory.connectToShadowDb = async () => {
  const main = await connect();
  const database = `prisma_migrate_shadow_db_${randomUUID()}`;
  await main.executeScript(`CREATE DATABASE "${database}"`);
  const shadow = await new PrismaPg({ ...connection, database }, { schema }).connect();
  const dispose = shadow.dispose.bind(shadow);
  shadow.dispose = async () => {
    await dispose();
    await main.executeScript(`DROP DATABASE "${database}" WITH (FORCE)`);
    await main.dispose();
  };
  return withChars(shadow);
};

const file = require.resolve('@prisma/schema-engine-wasm/schema_engine_bg').replace(/\.js$/, '.wasm');
const { instance } = await WebAssembly.instantiate(readFileSync(file), { './schema_engine_bg.js': wasm });
wasm.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();
globalThis.PRISMA_WASM_PANIC_REGISTRY ??= { set_message: (message) => log('ERROR', message) };

const datamodels = args.flatMap((name, i) =>
  name === '--datamodels' ? [[args[i + 1], readFileSync(args[i + 1], 'utf8')]] : [],
);
let engine;
const say = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
let printed = 1_000_000;

for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  const { id, method, params } = JSON.parse(line);
  if (!method) continue;
  try {
    engine ??= await wasm.SchemaEngine.new(
      { datamodels: datamodels.length ? datamodels : undefined },
      () => {},
      bindMigrationAwareSqlAdapterFactory(factory),
    );
    const name = method === 'getDatabaseVersion' ? 'version' : method;
    if (typeof engine[name] !== 'function') throw new Error(`The engine has no ${method}`);
    const result = await engine[name](params);
    // The binary prints a diff by a call of its own, which Prisma answers.
    if (method === 'diff' && result?.stdout != null)
      say({ method: 'print', id: printed++, params: { content: result.stdout } });
    say({ id, result: result ?? null });
  } catch (error) {
    const data = {
      is_panic: false,
      message: error.message ?? String(error),
      error_code: error.code ?? null,
      meta: error.meta,
    };
    say({ id, error: { code: 4466, message: 'An error happened. Check the data field for details.', data } });
  }
}
process.exit(0);
