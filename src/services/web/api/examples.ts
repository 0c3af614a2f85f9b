/**
 * How an operation is called, made of the description: by curl, and by the typed client. Tests run each of them. Ids stand as `$BATCH` and
 * `BATCH`; the key is in `$ATELIER_KEY`.
 */
import { answerOf, camel } from './client.ts';
import type { Described, Document, Schema } from './document.ts';

/** What an id is one of, by the resource. */
const ID_OF: Readonly<Record<string, string>> = { batches: 'BATCH', pictures: 'PICTURE', faces: 'FACE' };
const idOf = ({ path }: Described) => ID_OF[path.split('/')[3] ?? ''] ?? 'ID';

/** An example of what is sent: null where nothing is, or photos are. */
function bodyOf({ requestBody }: Described, { components }: Document): unknown {
  const schema = requestBody?.content['application/json']?.schema;
  if (!schema) return null;
  const named: Schema = schema.$ref
    ? (components.schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {})
    : schema;
  return named.examples?.[0] ?? null;
}

const isUpload = ({ requestBody }: Described) => requestBody?.content['multipart/form-data'] !== undefined;
const takesIdempotencyKey = ({ parameters }: Described) =>
  parameters.some(({ name }) => name === 'idempotency-key');

export function curlOf(operation: Described, document: Document): string {
  const { method, path } = operation;
  const { kind } = answerOf(operation);
  const address = `${document.servers[0]?.url ?? ''}${path.replace('{id}', `$${idOf(operation)}`)}`;
  const body = bodyOf(operation, document);
  const words = [
    `curl --fail-with-body${kind === 'events' ? ' --no-buffer' : ''}${kind === 'bytes' ? ' --output picture.png' : ''}`,
    method !== 'get' && `--request ${method.toUpperCase()}`,
    `"${address}"`,
    '--header "Authorization: Bearer $ATELIER_KEY"',
    takesIdempotencyKey(operation) && "--header 'Idempotency-Key: made-by-you-1'",
    isUpload(operation) && '--form name=ada --form photos=@ada.jpg',
    body !== null && "--header 'Content-Type: application/json'",
    // What stands for an id is the shell's, and comes out of the quotes.
    body !== null &&
      `--data '${JSON.stringify(body, null, 2)
        .replaceAll(/"(\$[A-Z]+)"/g, `"'$1'"`)
        .replaceAll('\n', '\n  ')}'`,
  ].filter((word) => word !== false);
  return words
    .join(' \\\n  ')
    .replace('curl --fail-with-body \\\n  --request', 'curl --fail-with-body --request');
}

/** Once, before any of them. */
export function preamble(document: Document): string {
  return `import { atelier } from './atelier.ts';

const api = atelier({ url: '${document.servers[0]?.url ?? ''}', key: process.env.ATELIER_KEY! });`;
}

export function typescriptOf(operation: Described, document: Document): string {
  const { operationId, path } = operation;
  const { kind } = answerOf(operation);
  const body = bodyOf(operation, document);
  const given = [
    path.includes('{id}') && `id: ${idOf(operation)}`,
    takesIdempotencyKey(operation) && `${camel('idempotency-key')}: 'made-by-you-2'`,
    isUpload(operation) && 'body: form',
    body !== null && `body: ${literal(body)}`,
  ].filter((one) => one !== false);
  const line = `{ ${given.join(', ')} }`;
  const several = `{\n${given.map((one) => `  ${one.replaceAll('\n', '\n  ')},\n`).join('')}}`;
  const call = `api.${operationId}(${given.length ? (line.includes('\n') ? several : line) : ''})`;
  if (kind === 'events')
    return `for await (const batch of ${call}) console.log(batch.state, batch.pictures);`;
  const called = kind === 'nothing' ? `await ${call};` : `const ${nameOf(operationId)} = await ${call};`;
  if (!isUpload(operation)) return called;
  return `const form = new FormData();
form.set('name', 'ada');
form.append('photos', await openAsBlob('ada.jpg'), 'ada.jpg'); // of node:fs
${called}`;
}

/** `getPictureContent` → `pictureContent` */
function nameOf(operationId: string): string {
  const noun = operationId.replace(/^[a-z]+/, '');
  return noun ? noun.charAt(0).toLowerCase() + noun.slice(1) : 'answer';
}

/** Characters of an object that stands on one line. */
const LINE_MAX = 60;

/** As somebody would write it. */
function literal(value: unknown): string {
  if (typeof value === 'string') return value.startsWith('$') ? value.slice(1) : `'${value}'`;
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const fields = Object.entries(value).map(([name, inner]) => `${name}: ${literal(inner)}`);
  const line = `{ ${fields.join(', ')} }`;
  if (line.length <= LINE_MAX) return line;
  return `{\n${fields.map((field) => `  ${field.replaceAll('\n', '\n  ')},\n`).join('')}}`;
}
