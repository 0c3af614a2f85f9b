/**
 * `node infra/run.mjs client`: writes atelier.ts, the API's typed client, anew, after the API has changed. A test fails when it is not what
 * this makes.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fastify from 'fastify';
import { api } from '#src/services/web/api/api.ts';

const CLIENT = fileURLToPath(new URL('./atelier.ts', import.meta.url));

const app = fastify();
await api(app, { isEnding: () => false, asked: () => {}, answerFirst: () => {} });
const { statusCode, body } = await app.inject('/api/atelier.ts');
if (statusCode !== 200) throw new Error(`/api/atelier.ts: status ${statusCode}`);
writeFileSync(CLIENT, body);
process.stdout.write(`${CLIENT}\n`);
