/**
 * A typed client in one file without dependencies, made of the API's description: types of its schemas, and a function for each operation.
 * Whoever uses the API may take it from /api/atelier.ts; ours is infra/client/atelier.ts.
 */
import { type Described, type Document, operationsOf, type Schema } from './document.ts';

/** TypeScript's type of a schema, on one line. */
export function typeOf(schema: Schema): string {
  const { $ref, anyOf, oneOf, type, items, properties, additionalProperties: more } = schema;
  if ($ref) return $ref.slice($ref.lastIndexOf('/') + 1);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const several =
    anyOf ?? oneOf ?? (Array.isArray(type) ? type.map((one) => ({ ...schema, type: one })) : null);
  if (several) return [...new Set(several.map(typeOf))].join(' | ');
  if (type === 'array') return `Array<${typeOf(items ?? {})}>`;
  if (type === 'object' && properties)
    return `{ ${fieldsOf(schema)
      .map(({ name, optional, of }) => `${name}${optional ? '?' : ''}: ${typeOf(of)}`)
      .join('; ')} }`;
  if (type === 'object') return `Record<string, ${typeof more === 'object' ? typeOf(more) : 'unknown'}>`;
  if (type === 'integer' || type === 'number') return 'number';
  if (type === 'string') return schema.format === 'binary' ? 'Blob' : 'string';
  return type === 'boolean' || type === 'null' ? String(type) : 'unknown';
}

export interface Field {
  readonly name: string;
  readonly optional: boolean;
  readonly of: Schema;
  readonly description: string;
}

/** Properties of an object's schema. What zod says of a type stands within it, where the type may be null. */
export function fieldsOf({ properties = {}, required = [] }: Schema): Field[] {
  return Object.entries(properties).map(([name, of]) => ({
    name,
    optional: !required.includes(name),
    of,
    description: of.description ?? of.anyOf?.find(({ description }) => description)?.description ?? '',
  }));
}

/** `idempotency-key` → `idempotencyKey` */
export const camel = (name: string) => name.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

/** How an operation is answered. */
export function answerOf({ responses }: Described): {
  kind: 'json' | 'bytes' | 'events' | 'nothing';
  of: string;
} {
  const [, first] = Object.entries(responses).find(([status]) => status.startsWith('2')) ?? [];
  const [[media, answer] = []] = Object.entries(first?.content ?? {});
  if (!media || !answer) return { kind: 'nothing', of: 'void' };
  if (media === 'application/json') return { kind: 'json', of: typeOf(answer.schema) };
  if (media !== 'text/event-stream') return { kind: 'bytes', of: 'Blob' };
  return { kind: 'events', of: String((answer.schema as { 'x-item'?: string })['x-item']) };
}

const comment = (text: string, indent: string) =>
  text ? `${indent}/** ${text.replaceAll('*/', '* /')} */\n` : '';

function schemaText(name: string, schema: Schema): string {
  const head = comment(schema.description ?? '', '');
  if (!schema.properties) return `${head}export type ${name} = ${typeOf(schema)};\n`;
  const fields = fieldsOf(schema).map(
    ({ name: field, optional, of, description }) =>
      `${comment(description, '  ')}  ${field}${optional ? '?' : ''}: ${typeOf(of)};\n`,
  );
  return `${head}export interface ${name} {\n${fields.join('')}}\n`;
}

function operationText(operation: Described): string {
  const { operationId, summary, description = '', method, path, parameters, requestBody } = operation;
  const body = requestBody && Object.entries(requestBody.content)[0];
  const given = [
    ...parameters.map(
      ({ name, required, schema }) => `${camel(name)}${required ? '' : '?'}: ${typeOf(schema)}`,
    ),
    ...(body ? [`body: ${body[0] === 'application/json' ? typeOf(body[1].schema) : 'FormData'}`] : []),
  ];
  const isNeeded = given.some((field) => !/^\w+\?:/.test(field));
  const argument = given.length ? `given: { ${given.join('; ')} }${isNeeded ? '' : ' = {}'}` : '';
  const { kind, of } = answerOf(operation);
  const call = `'${method.toUpperCase()}', '${path}'${given.length ? ', given' : ''}`;
  const result =
    kind === 'json'
      ? `json<${of}>(${call})`
      : kind === 'events'
        ? `events<${of}>(${call})`
        : `${kind}(${call})`;
  const says = [`${summary}.`, description].filter(Boolean).join(' ');
  return `${comment(says, '    ')}    ${operationId}: (${argument}) => ${result},\n`;
}

export function clientOf(document: Document): string {
  const schemas = Object.entries(document.components.schemas).map(([name, schema]) =>
    schemaText(name, schema),
  );
  return `// A client of Atelier's API, made of its description: not to be edited. It needs nothing but \`fetch\`.\n
${schemas.join('\n')}
/** What was refused, or broke. */
export class AtelierProblem extends Error {
  readonly problem: Problem;
  /** s after which it may be asked again; null: no matter when */
  readonly retryAfter: number | null;

  constructor(problem: Problem, retryAfter: number | null) {
    super(problem.detail);
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}
${RUNTIME}
  return {
${operationsOf(document).map(operationText).join('')}  };
}
`;
}

const RUNTIME = `
type Given = Readonly<Record<string, unknown>>;

/** @param options where Atelier is, and a key from its account page */
export function atelier({ url, key, fetch: send = fetch }: { url: string; key?: string; fetch?: typeof fetch }) {
  async function ask(method: string, path: string, { body, idempotencyKey, ...given }: Given = {}): Promise<Response> {
    const inPath = new Set<string>();
    const filled = path.replace(/\\{(\\w+)\\}/g, (_, name: string) => {
      inPath.add(name);
      return encodeURIComponent(String(given[name]));
    });
    const target = new URL(filled, url);
    for (const [name, value] of Object.entries(given))
      if (value !== undefined && !inPath.has(name)) target.searchParams.set(name, String(value));
    const headers = new Headers();
    if (key) headers.set('authorization', \`Bearer \${key}\`);
    if (idempotencyKey) headers.set('idempotency-key', String(idempotencyKey));
    const isForm = body instanceof FormData;
    if (body !== undefined && !isForm) headers.set('content-type', 'application/json');
    const content = body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) };
    const response = await send(target, { method, headers, ...content });
    if (response.ok) return response;
    const after = response.headers.get('retry-after');
    throw new AtelierProblem((await response.json()) as Problem, after === null ? null : Number(after));
  }
  const json = async <T>(...asked: Parameters<typeof ask>) => (await (await ask(...asked)).json()) as T;
  const bytes = async (...asked: Parameters<typeof ask>) => (await ask(...asked)).blob();
  const nothing = async (...asked: Parameters<typeof ask>): Promise<void> => void (await ask(...asked));

  /** Until the server says that it has ended; a stream that breaks off before is opened anew. */
  async function* events<T>(...asked: Parameters<typeof ask>): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const reader = (await ask(...asked)).body!.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      try {
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          const parts = (text + value).split('\\n\\n');
          text = parts.pop() ?? '';
          for (const part of parts) {
            const [, name] = /^event: (.*)$/m.exec(part) ?? [];
            if (name === 'end') return;
            const [, data] = /^data: (.*)$/m.exec(part) ?? [];
            if (name && data) yield JSON.parse(data) as T;
          }
        }
      } finally {
        await reader.cancel();
      }
    }
  }
`;
