/** The API's page: its examples are run, its client is used, and it is looked at in Chromium. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AtelierProblem, atelier } from '#infra/client/atelier.ts';
import { samplePhoto } from '#infra/local/discord/samples/samples.ts';
import { type Document, operationsOf } from '#src/services/web/api/document.ts';
import { findChromium, openBrowser } from '#test/support/browser.ts';
import { drawn } from '#test/support/drawn.ts';
import { actor } from '#test/support/requests.ts';
import { exampleIn, folderFor } from './examples.ts';
import { startWebWithDiscord, type WebWithDiscord } from './visitors.ts';

const run = promisify(execFile);
let web: WebWithDiscord;
let url: string;
let page: string;
let document: Document;
let key: string;
let userId: string;
let db: typeof import('#src/doors/db.ts').db;

beforeAll(async () => {
  web = await startWebWithDiscord();
  ({ url } = web);
  ({ db } = await import('#src/doors/db.ts'));
  page = await (await fetch(`${url}/api`)).text();
  document = (await (await fetch(`${url}/api/v1/openapi.json`)).json()) as Document;
  const who = actor();
  const { welcomeUser } = await import('#src/people/tokens.ts');
  await db.$transaction((tx) => welcomeUser(tx, who.id));
  const { makeKey } = await import('#src/people/keys.ts');
  ({ key } = await makeKey(who, { name: 'examples', scopes: ['read', 'draw', 'faces'], webhookUrl: null }));
  userId = who.id;
});
afterAll(() => web?.close());

let made = 0;
/** What an example's ids stand for: a batch that has ended with its picture, and a face folder with a photo that waits for consent. */
async function fixtures(): Promise<{ BATCH: string; PICTURE: string; FACE: string; PHOTO: string }> {
  const { id: BATCH } = await atelier({ url, key }).createBatch({
    body: { prompt: `portrait of a woman, example ${++made}`, parameters: { tier: 'relax', steps: 10 } },
  });
  const { startGeneration } = await import('#test/support/taking.ts');
  const { finishGeneration } = await import('#src/batches/ending.ts');
  const { id: PICTURE } = await db.generation.findFirstOrThrow({ where: { batchId: BATCH } });
  const drawing = (await startGeneration(PICTURE, 'w1'))!;
  await finishGeneration(drawing, 'w1', drawn({ sha256: PICTURE, bundleHash: PICTURE }));
  const { addPhotos, finishFaceCheck } = await import('#src/faces.ts');
  const photo = { png: Buffer.from(`photo ${made}`), width: 512, height: 512 };
  const { folder, ids } = await addPhotos(actor({ id: userId }), `folder-${made}`, [photo]);
  const [PHOTO = ''] = ids;
  await finishFaceCheck(PHOTO, 1);
  return { BATCH, PICTURE, FACE: folder.id, PHOTO };
}

describe('the examples', () => {
  it('of curl do what they say, each of them', async () => {
    const cwd = await folderFor({ 'ada.jpg': Buffer.from((await samplePhoto('ada-1.jpg'))!.data) });
    for (const { operationId } of operationsOf(document)) {
      const example = exampleIn(page, `curl-${operationId}`);
      const env = { ...process.env, ...(await fixtures()), ATELIER_KEY: key };
      const { stdout } = await run('bash', ['-euc', example], { cwd, env });
      expect([operationId, stdout]).not.toEqual([operationId, expect.stringContaining('"code"')]);
      if (operationId === 'watchBatch') expect(stdout).toMatch(/event: batch.*event: end/s);
      if (operationId === 'getPictureContent')
        expect(await readFile(`${cwd}/picture.png`, 'utf8')).toBe('the bytes');
    }
    // One with an Idempotency-Key asks once.
    const { stdout } = await run('bash', ['-euc', exampleIn(page, 'curl-createBatch')], {
      cwd,
      env: { ...process.env, ATELIER_KEY: key },
    });
    expect(await db.generation.count({ where: { prompt: { contains: 'emerald' } } })).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ count: 2 });
  }, 60_000);

  it('of TypeScript do what they say, each of them', async () => {
    const client = await (await fetch(`${url}/api/atelier.ts`)).text();
    const blocks: string[] = [];
    for (const { operationId } of operationsOf(document)) {
      const ids = Object.entries(await fixtures()).map(([name, id]) => `const ${name} = '${id}';`);
      const example = exampleIn(page, `ts-${operationId}`);
      blocks.push(`{\n${ids.join('\n')}\n${example}\nconsole.log('did', '${operationId}');\n}`);
    }
    const program = `import { openAsBlob } from 'node:fs';\n${exampleIn(page, 'preamble')}\n${blocks.join('\n')}\n`;
    const cwd = await folderFor({
      'atelier.ts': client,
      'examples.ts': program,
      'ada.jpg': Buffer.from((await samplePhoto('ada-1.jpg'))!.data),
      'package.json': '{ "type": "module" }',
    });
    const { stdout } = await run(process.execPath, ['examples.ts'], {
      cwd,
      env: { ...process.env, ATELIER_KEY: key, NODE_NO_WARNINGS: '1' },
    });
    const did = [...stdout.matchAll(/^did (\w+)$/gm)].map(([, name]) => name);
    expect(did).toEqual(operationsOf(document).map(({ operationId }) => operationId));
  }, 60_000);
});

describe('the typed client', () => {
  const CLIENT = fileURLToPath(new URL('../../../../infra/client/atelier.ts', import.meta.url));

  it('is what the description makes: if not, run `node infra/run.mjs client`', async () => {
    const served = await (await fetch(`${url}/api/atelier.ts`)).text();
    expect(await readFile(CLIENT, 'utf8')).toBe(served);
  });

  it('asks, watches, and throws what was refused', async () => {
    const api = atelier({ url, key });
    const body = { prompt: 'portrait of a woman, by the client', parameters: { tier: 'relax', steps: 10 } };
    const [first, second] = [
      await api.createBatch({ idempotencyKey: 'client', body }),
      await api.createBatch({ idempotencyKey: 'client', body }),
    ];
    expect(second.id).toBe(first.id);
    const states: string[] = [];
    for await (const batch of api.watchBatch({ id: first.id })) {
      states.push(batch.state);
      if (batch.state === 'open') await api.cancelBatch({ id: first.id });
    }
    expect([states[0], states.at(-1)]).toEqual(['open', 'cancelled']);
    expect((await api.listBatches({ limit: 1 })).items).toHaveLength(1);
    const refused = await api.createBatch({ body: { prompt: ' ' } }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(AtelierProblem);
    expect(refused).toMatchObject({ problem: { status: 400, code: 'prompt_empty' }, retryAfter: null });
  });
});

describe('the description', () => {
  it('is OpenAPI 3.1, and tells of every operation who may call it and how it is answered', () => {
    expect(document).toMatchObject({ openapi: '3.1.0', servers: [{ url }], webhooks: { 'batch.ended': {} } });
    const all = operationsOf(document);
    expect(new Set(all.map(({ operationId }) => operationId)).size).toBe(all.length);
    for (const { operationId, responses, security, tags } of all) {
      expect(document.tags.map(({ name }) => name)).toContain(tags[0]);
      expect([operationId, responses.default?.content]).toEqual([
        operationId,
        { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      ]);
      expect(security.map((way) => Object.keys(way)[0])).toEqual(expect.arrayContaining(['key', 'session']));
    }
    const used = [...JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)].map(
      ([, name]) => name,
    );
    expect([...new Set(used)].sort()).toEqual(Object.keys(document.components.schemas).sort());
  });
});

describe.skipIf(!findChromium())('in a browser', () => {
  it('is whole on a phone and on a desk, without complaints', async () => {
    const browser = await openBrowser();
    const faults: string[] = [];
    try {
      for (const width of [375, 1440]) {
        const tab = await browser.newPage({ viewport: { width, height: 900 } });
        tab.on('console', (message) => faults.push(message.text()));
        tab.on('pageerror', (error) => faults.push(String(error)));
        await tab.goto(`${url}/api`);
        expect(await tab.evaluate('document.documentElement.scrollWidth')).toBe(width);
        // Every link of the page leads somewhere in it.
        const dead = await tab.evaluate(
          `[...document.querySelectorAll('main a[href^="#"]')].map((a) => a.hash.slice(1)).filter((id) => !document.getElementById(id))`,
        );
        expect(dead).toEqual([]);
        const twice = await tab.evaluate(
          `[...document.querySelectorAll('[id]')].map(({ id }) => id).filter((id, i, all) => all.indexOf(id) !== i)`,
        );
        expect(twice).toEqual([]);
        const shots = process.env.ATELIER_SHOTS;
        if (shots) await tab.screenshot({ path: `${shots}/api-${width}.png`, fullPage: true });
        await tab.close();
      }
      expect(faults).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
