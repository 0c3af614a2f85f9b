/** Programs that use the API. Every answer is held against the description that the service gives of itself. */
import type { ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { expect } from 'vitest';
import { type Document, operationsOf } from '#src/services/web/api/document.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** null: it was no JSON */
  readonly json: Readonly<Record<string, unknown>> | null;
  readonly bytes: Buffer;
}

export interface Sent {
  readonly method?: string;
  /** of a key; null: none */
  readonly key?: string | null;
  /** sent as JSON, unless it is a form or text */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Call = (path: string, sent?: Sent) => Promise<Answer>;

/** @param url of the web service @param address that they come from, as a proxy says */
export async function caller(url: string, address: string): Promise<Call> {
  const document = (await (await fetch(`${url}/api/v1/openapi.json`)).json()) as Document;
  const check = checker(document);
  return async (path, { method = 'GET', key = null, body, headers = {} } = {}) => {
    const isText = typeof body === 'string' || body instanceof FormData;
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      redirect: 'manual',
      headers: {
        'x-forwarded-for': address,
        ...(key !== null && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && !isText && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: isText ? body : JSON.stringify(body) }),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const type = response.headers.get('content-type') ?? '';
    const json = /json/.test(type) ? (JSON.parse(bytes.toString()) as Answer['json']) : null;
    check(method, path, response.status, type, json);
    return { status: response.status, headers: response.headers, json, bytes };
  };
}

/** Fails where an answer is not what the description of its operation says. */
function checker(document: Document) {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addSchema({ ...document, $id: 'api' });
  const compiled = new Map<string, ValidateFunction>();
  const paths = operationsOf(document).map(({ path, method, responses }) => ({
    method: method.toUpperCase(),
    at: path,
    path: new RegExp(`^${path.replace('/api/v1', '').replace(/\{\w+\}/g, '[^/]+')}$`),
    responses,
  }));
  return (method: string, path: string, status: number, type: string, json: unknown) => {
    const [bare = ''] = path.split('?');
    const found = paths.find((one) => one.method === method && one.path.test(bare));
    if (!found) return expect(status).toBeGreaterThanOrEqual(400);
    const name = found.responses[status] ? String(status) : 'default';
    const { content = {} } = found.responses[name]!;
    const media = type.split(';')[0]!;
    // What nothing is answered with has no type.
    expect([method, path, Object.keys(content)]).toEqual([
      method,
      path,
      Object.keys(content).length ? expect.arrayContaining([media]) : [],
    ]);
    if (name === 'default') expect(status).toBeGreaterThanOrEqual(400);
    if (json === null) return;
    const escaped = (part: string) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));
    const parts = ['paths', found.at, method.toLowerCase(), 'responses', name, 'content', media, 'schema'];
    const pointer = `api#/${parts.map(escaped).join('/')}`;
    const validate = compiled.get(pointer) ?? ajv.compile({ $ref: pointer });
    compiled.set(pointer, validate);
    expect([path, validate(json), validate.errors]).toEqual([path, true, null]);
  };
}
