/**
 * Discord's published OpenAPI description as judge: every request and response of the REST API is held against it.
 *
 * The description is large, so it is read when a judge is first asked for, and a schema is compiled when its route is first
 * used. What it gets wrong, and what it lets pass, is in `infra/local/discord/openapi.md`.
 */
import { readFile } from 'node:fs/promises';
import type { ValidateFunction } from 'ajv';
import { ChannelType } from 'discord-api-types/v10';
import { isObject, type Json } from './fields.ts';

const DESCRIPTION = new URL('./openapi.json', import.meta.url);

export interface Violation {
  /** `POST /channels/{channel_id}/messages` */
  readonly route: string;
  readonly side: 'request' | 'response';
  readonly status?: number;
  /** where in the body, and what is wrong there */
  readonly faults: readonly string[];
}

export interface Judge {
  /** Faults of a request's body; none when it is fine. `template` as in the description, without the version. */
  request(method: string, template: string, body: unknown): string[];
  response(method: string, template: string, status: number, body: unknown): string[];
}

interface Operation {
  requestBody?: { content: Record<string, { schema: Json }> };
  responses: Record<string, { content?: Record<string, { schema: Json }> }>;
}

/** Where the description is known to be wrong. */
function amended(key: string, value: unknown): unknown {
  // Media channels are left out, which there are beside forums.
  if (key === 'ChannelTypes' && isObject(value) && Array.isArray(value.oneOf))
    return { ...value, oneOf: [...value.oneOf, { const: ChannelType.GuildMedia }] };
  if (key !== 'enum' || !Array.isArray(value)) return value;
  if (String(value) === '0,2,4,5,13,14,15') return [...value, ChannelType.GuildMedia];
  // Two fields are described as `enum: []`, which nothing could ever satisfy.
  return value.length ? value : undefined;
}

export async function openJudge(): Promise<Judge> {
  const [{ Ajv2020 }, formats, text] = await Promise.all([
    import('ajv/dist/2020.js'),
    import('ajv-formats'),
    readFile(DESCRIPTION, 'utf8').catch(() => {
      throw new Error(`check: 'openapi' needs Discord's description at ${DESCRIPTION.pathname}`);
    }),
  ]);
  const description = JSON.parse(text, amended) as {
    paths: Record<string, Record<string, Operation>>;
    components: Json;
  };

  const ajv = new Ajv2020({ strict: false, allErrors: false, verbose: false });
  formats.default.default(ajv, ['uri', 'date-time', 'int32', 'int64', 'double']);
  ajv.addFormat('snowflake', /^(0|[1-9]\d{0,19})$/);
  ajv.addFormat('nonce', /^.{0,25}$/s);
  ajv.addSchema({ $id: 'discord', components: looseSnowflakes(description.components) } as object);

  const compiled = new Map<string, ValidateFunction | null>();
  const validator = (key: string, schema: () => Json | undefined): ValidateFunction | null => {
    let found = compiled.get(key);
    if (found === undefined) {
      const given = schema();
      const absolute = given && JSON.stringify(given).replaceAll('"#/components/', '"discord#/components/');
      found = absolute ? ajv.compile(JSON.parse(absolute) as object) : null;
      compiled.set(key, found);
    }
    return found;
  };
  const faultsOf = (validate: ValidateFunction | null, body: unknown): string[] => {
    if (!validate || validate(body)) return [];
    // Of a union every branch complains; the deepest complaint is of the branch that was meant.
    const errors = (validate.errors ?? []).toSorted((a, b) => b.instancePath.length - a.instancePath.length);
    const deepest = errors[0]?.instancePath.length ?? 0;
    return [
      ...new Set(
        errors
          .filter((error) => error.instancePath.length === deepest && !/^(one|any)Of$/.test(error.keyword))
          .map((error) => `${error.instancePath || '/'} ${error.message} ${JSON.stringify(error.params)}`),
      ),
    ];
  };
  const operation = (method: string, template: string) => description.paths[template]?.[method.toLowerCase()];

  return {
    request(method, template, body) {
      const described = operation(method, template);
      if (!described) return ['Discord has no such route'];
      const key = `${method} ${template}`;
      const validate = validator(key, () => described.requestBody?.content['application/json']?.schema);
      return faultsOf(validate, intsFromText(body));
    },
    response(method, template, status, body) {
      const described = operation(method, template);
      if (!described) return [];
      if (status >= 400) {
        const fine =
          isObject(body) && typeof body.message === 'string' && typeof (body.code ?? 0) === 'number';
        return fine ? [] : ['an error must have a message and a number as code'];
      }
      const answer = described.responses[status];
      if (!answer) return [`status ${status} is not described`];
      if (!answer.content) return body === undefined ? [] : ['must have no body'];
      return faultsOf(
        validator(`${method} ${template} ${status}`, () => answer.content?.['application/json']?.schema),
        body,
      );
    },
  };
}

/** Ids are described as text; Discord takes small whole numbers too, and sends such back as it got them. */
function looseSnowflakes(components: Json): Json {
  const schemas = components.schemas as Json;
  const SnowflakeType = { oneOf: [schemas.SnowflakeType, { type: 'integer', minimum: 0 }] };
  return { ...components, schemas: { ...schemas, SnowflakeType } };
}

/** The methods that Discord has at a path, whether or not the local one has them. */
export async function methodsAt(path: readonly string[]): Promise<string[]> {
  const { paths } = JSON.parse(await readFile(DESCRIPTION, 'utf8')) as { paths: Record<string, object> };
  return Object.entries(paths).flatMap(([template, operations]) => {
    const segments = template.split('/').slice(1);
    const fits =
      segments.length === path.length && segments.every((one, i) => one === path[i] || one[0] === '{');
    return fits ? Object.keys(operations).map((name) => name.toUpperCase()) : [];
  });
}

/**
 * Bit sets are described as integers and sent as text; the description's README says that integers may come as text. Of the
 * fields our libraries send, `default_member_permissions` and permission overwrites are the ones concerned.
 */
function intsFromText(body: unknown): unknown {
  if (Array.isArray(body)) return body.map(intsFromText);
  if (!isObject(body)) return body;
  return Object.fromEntries(
    Object.entries(body).map(([key, value]) => {
      if (BIT_SETS.has(key) && typeof value === 'string' && /^\d+$/.test(value)) return [key, Number(value)];
      return [key, key === 'permission_overwrites' ? intsFromText(value) : value];
    }),
  );
}

const BIT_SETS = new Set(['default_member_permissions', 'permissions', 'allow', 'deny']);
