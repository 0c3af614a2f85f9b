/**
 * What others start with alone, to measure ours beside: `bare-start.ts import NAME`, one library · `login`, discord.js that is connected ·
 * `worker BUNDLE`, BullMQ's worker on Postgres with the networks of a bundle open. Says when it is ready, and waits.
 */
import { config, required } from '#config/env.ts';

const [what = '', name = ''] = process.argv.slice(2);

const starts: Readonly<Record<string, () => Promise<unknown>>> = {
  import: () => import(name),
  async login() {
    const { Client, GatewayIntentBits } = await import('discord.js');
    const client = new Client({
      intents: [GatewayIntentBits.Guilds],
      shards: 'auto',
      rest: { api: config.discord.apiUrl },
    });
    const ready = new Promise((done) => client.once('clientReady', done));
    await client.login(required(config.discord.token, 'DISCORD_TOKEN'));
    await ready;
  },
  async worker() {
    const [{ createPostgresBackend, withBackend }, { loadBundle }] = await Promise.all([
      import('bullmq'),
      import('#src/bundles/load.ts'),
    ]);
    const { Worker } = withBackend(createPostgresBackend);
    const connection = {
      connectionString: required(config.databaseUrl, 'DATABASE_URL'),
      options: '-c search_path=bullmq',
    };
    const worker = new Worker('bare', async () => {}, { connection });
    await Promise.all([worker.waitUntilReady(), loadBundle(name)]);
  },
};

await starts[what]?.();
process.send?.({ ready: true });
process.on('SIGTERM', () => process.exit());
