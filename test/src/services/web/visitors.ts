/** Browsers without a browser: requests with a cookie jar, as a page of ours sends them. */
import sharp from 'sharp';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import type { PersonName } from '#infra/local/discord/world.ts';
import { freePort } from '#infra/local/free-port.ts';
import type { Drawn } from '#src/batches/ending.ts';
import { drawn } from '#test/support/drawn.ts';

export interface Jar {
  readonly cookies: Map<string, string>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  /** a form, as a browser sends it from a page of ours */
  post(path: string, fields: Record<string, string>, headers?: Record<string, string>): Promise<Response>;
  send(path: string, init: RequestInit): Promise<Response>;
}

/** @param address that it comes from, as a proxy says */
export function jar(url: string, address = '203.0.113.1'): Jar {
  const cookies = new Map<string, string>();
  const send: Jar['send'] = async (path, init) => {
    const headers = new Headers(init.headers);
    headers.set('x-forwarded-for', address);
    headers.set('cookie', [...cookies].map(([name, value]) => `${name}=${value}`).join('; '));
    const response = await fetch(new URL(path, url), { ...init, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (/max-age=0/i.test(line)) cookies.delete(name);
      else cookies.set(name, value);
    }
    return response;
  };
  return {
    cookies,
    send,
    get: (path, headers = {}) => send(path, { headers }),
    post: (path, fields, headers = {}) =>
      send(path, {
        method: 'POST',
        headers: { origin: new URL(url).origin, 'sec-fetch-site': 'same-origin', ...headers },
        body: new URLSearchParams(fields),
      }),
  };
}

/** Says yes at the local Discord. @param at where a sign-in led to. @returns where that leads back to */
export async function sayYes(at: string, person: PersonName | ''): Promise<string> {
  const { origin } = new URL(at);
  const response = await fetch(at, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin },
    body: new URLSearchParams({ person }),
  });
  return response.headers.get('location') ?? '';
}

/** Signs in as somebody whom the local Discord knows. */
export async function signInAs(visitor: Jar, person: PersonName, to = '/draw'): Promise<Response> {
  const begun = await visitor.get(`/sign-in?to=${encodeURIComponent(to)}`);
  return visitor.get(await sayYes(begun.headers.get('location')!, person));
}

/** Signs each person in once, at an address of their own. @param watch what every answer of theirs goes through */
export function visitors(url: () => string, watch: (visitor: Jar) => Jar = (visitor) => visitor) {
  const known = new Map<PersonName, Jar>();
  return async (person: PersonName): Promise<Jar> => {
    const before = known.get(person);
    if (before) return before;
    const visitor = watch(jar(url(), `198.51.100.${known.size + 1}`));
    await signInAs(visitor, person);
    known.set(person, visitor);
    return visitor;
  };
}

export const CLIENT_SECRET = 'a-secret-of-the-local-application';

function signInEnv(sandbox: Sandbox, webUrl: string): Record<string, string> {
  return {
    DISCORD_APPLICATION_ID: '1100000000000000001',
    DISCORD_CLIENT_SECRET: CLIENT_SECRET,
    DISCORD_API_URL: sandbox.apiUrl,
    // To a browser another site than ours, which 127.0.0.1 with another port would not be.
    DISCORD_OAUTH_URL: sandbox.oauthUrl.replace('127.0.0.1', 'localhost'),
    PUBLIC_URL: webUrl,
    WEB_PROXIES: '1',
  };
}

export interface WebWithDiscord {
  readonly url: string;
  readonly sandbox: Sandbox;
  close(): Promise<void>;
}

/** The web service as it runs, with the local Discord to sign in at. Nothing of ours may be imported before. */
export async function startWebWithDiscord(): Promise<WebWithDiscord> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const sandbox = await startSandbox({
    token: 'local.a-token-of-thirty-characters-or-more',
    applicationId: '1100000000000000001',
    check: 'openapi',
    oauth: { clientSecret: CLIENT_SECRET, redirectUris: [`${url}/sign-in/return`] },
  });
  Object.assign(process.env, signInEnv(sandbox, url));
  const { startWeb } = await import('#src/services/web/web.ts');
  const web = await startWeb({ host: '127.0.0.1', port });
  return {
    url,
    sandbox,
    async close() {
      await web.close();
      await sandbox.close();
    },
  };
}

/** Draws a batch's next picture. @returns its id */
export async function finish(batchId: string, changes: Partial<Drawn> = {}): Promise<string> {
  const [{ db }, { startGeneration }, { finishGeneration }] = await Promise.all([
    import('#src/doors/db.ts'),
    import('#test/support/taking.ts'),
    import('#src/batches/ending.ts'),
  ]);
  const { id } = await db.generation.findFirstOrThrow({ where: { batchId, state: 'queued' } });
  const drawing = (await startGeneration(id, 'w1'))!;
  const png = await sharp({ create: { width: 512, height: 640, channels: 3, background: '#a53' } })
    .png()
    .toBuffer();
  await finishGeneration(drawing, 'w1', drawn({ png, sha256: id, bundleHash: id, ...changes }));
  return id;
}
