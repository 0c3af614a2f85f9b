/** The API's documentation, made of its description: every operation with its examples, every object with its fields. */
import { KEPT_MS, TRIES } from '#src/api-requests.ts';
import { styles } from '../assets.ts';
import { type Html, html } from '../html.ts';
import { layout, type Page } from '../layout.ts';
import { LIMITS } from './caller.ts';
import { answerOf, fieldsOf, typeOf } from './client.ts';
import { type Described, type Document, operationsOf, type Schema } from './document.ts';
import { curlOf, preamble, typescriptOf } from './examples.ts';
import { problemList } from './problem.ts';

const STYLE = styles('api.css', import.meta.url);

export function apiPage(document: Document): Page {
  const operations = operationsOf(document);
  return layout({
    title: 'API',
    path: '/api',
    description: 'Draw portraits by your own programs: the API with examples.',
    kind: 'docs',
    style: STYLE,
    body: html`<nav class="contents" aria-label="On this page"><ul>
${INTRODUCTION.map(([id, title]) => html`<li><a href="#${id}">${title}</a></li>`)}
${document.tags.map(
  ({ name }) =>
    html`<li><a href="#${idOf(name)}">${name}</a><ul>${operations
      .filter(({ tags }) => tags[0] === name)
      .map(({ operationId, summary }) => html`<li><a href="#${operationId}">${summary}</a></li>`)}</ul></li>`,
)}
<li><a href="#objects">Objects</a></li><li><a href="#codes">Codes</a></li></ul></nav>
<div class="reference">
<h1>The API</h1>
<p>${document.info.description} Everything below is also there for programs: <a href="/api/v1/openapi.json">OpenAPI
${document.openapi}</a>, and <a href="/api/atelier.ts" download>a typed client</a> in one file.</p>
${introduction(document)}
${document.tags.map(
  ({
    name,
    description,
  }) => html`<section aria-labelledby="${idOf(name)}"><h2 id="${idOf(name)}">${name}</h2><p>${code(description)}</p>
${operations.filter(({ tags }) => tags[0] === name).map((operation) => operationOf(operation, document))}</section>`,
)}
<section aria-labelledby="objects"><h2 id="objects">Objects</h2>
${Object.entries(document.components.schemas).map(
  ([name, schema]) =>
    html`<h3 id="${name}">${name}</h3>${schema.description && html`<p>${code(schema.description)}</p>`}${
      schema.properties ? fieldList(schema) : html`<p><code>${linked(schema)}</code></p>`
    }`,
)}</section>
<section aria-labelledby="codes"><h2 id="codes">Codes</h2>
<dl class="fields">${problemList.map(
      ({ code: name, status, detail }) =>
        html`<div id="${name}"><dt><code>${name}</code> <span class="type">${status}</span></dt><dd>${code(detail)}</dd></div>`,
    )}</dl></section>
</div>`,
  });
}

const INTRODUCTION = [
  ['begin', 'Begin'],
  ['keys', 'Keys and cookies'],
  ['refusals', 'What is refused'],
  ['again', 'Asking again'],
  ['limits', 'Limits'],
  ['webhooks', 'Webhooks'],
] as const;

function introduction(document: Document): Html {
  const first = operationsOf(document).find(({ operationId }) => operationId === 'createBatch');
  return html`<section aria-labelledby="begin"><h2 id="begin">Begin</h2>
<p>Make a key on <a href="/account/keys">your account’s page</a> and ask for a picture:</p>
${first && sample('curl', curlOf(first, document), null)}
<p>Or with <a href="/api/atelier.ts" download>the typed client</a>, which needs nothing but <code>fetch</code>:</p>
${sample('TypeScript', preamble(document), 'preamble')}</section>
<section aria-labelledby="keys"><h2 id="keys">Keys and cookies</h2>
<p>A key acts as whoever made it, with their tokens, as far as its scopes go: <code>read</code>, <code>draw</code>, <code>faces</code>. A
request brings it as <code>Authorization: Bearer atelier_…</code>. It is shown once, as only its hash is kept, and revoked on the
account’s page.</p>
<p>Pages of other sites may send a key: every answer to one has <code>Access-Control-Allow-Origin: *</code>, as no cookie had a part in
it. Whoever reads such a page can read its key, so keep keys of others out of pages.</p>
<p>A browser’s session works too, from this site’s own pages alone. Without either, <code>createBatch</code> makes a guest, who has a few
tokens; the answer’s cookie is all that knows them.</p></section>
<section aria-labelledby="refusals"><h2 id="refusals">What is refused</h2>
<p>Comes as <code>application/problem+json</code> (RFC 9457): <a href="#Problem">Problem</a>. Go by its <code>code</code>:
<a href="#codes">the API’s own</a>, or one of those that Discord’s commands have too, as <code>tokens_short</code> and
<code>prompt_blocked</code>. Each comes with a sentence for people.</p></section>
<section aria-labelledby="again"><h2 id="again">Asking again</h2>
<p>Send an <code>Idempotency-Key</code> of your own with <a href="#createBatch">createBatch</a>: asked again with the same key within
${KEPT_MS / 3_600_000} hours, it is the same batch, which costs its tokens once. The same key with another request is refused. A request
that was refused leaves its key free. It counts for one person, so it goes with a key or a session.</p></section>
<section aria-labelledby="limits"><h2 id="limits">Limits</h2>
<p>In a minute ${LIMITS.key} requests of a key, ${LIMITS.person} of a person and ${LIMITS.network} of a network are answered; more are
refused with 429 and <code>Retry-After</code>. What is drawn has the same limits as in Discord.</p></section>
<section aria-labelledby="webhooks"><h2 id="webhooks">Webhooks</h2>
<p>A key may have a webhook: a public address that is told, by https, when a batch which the key asked for has ended. It gets <code>{
"type": "batch.ended", "timestamp": …, "data": </code><a href="#Batch">Batch</a><code> }</code>, signed as
<a href="https://www.standardwebhooks.com">Standard Webhooks</a> has it: <code>webhook-signature</code> is <code>v1,</code> and the base64
of HMAC-SHA256 over <code>webhook-id.webhook-timestamp.body</code>, keyed by what follows <code>whsec_</code>, decoded. Refuse what is
older than five minutes.</p>
${sample('TypeScript', VERIFY, 'verify')}
<p>Answer with 2xx within 10 seconds. Otherwise it comes again with growing pauses, ${TRIES} times in all; the same one has the same
<code>webhook-id</code>. Redirects are not followed.</p></section>`;
}

/** A receiver's check; a test runs it. */
const VERIFY = `import { createHmac, timingSafeEqual } from 'node:crypto';

type Headers = Record<string, string>;

export function isOurs(headers: Headers, body: string, secret: string): boolean {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  if (Math.abs(Date.now() / 1_000 - Number(timestamp)) > 300) return false;
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const signed = createHmac('sha256', key).update([id, timestamp, body].join('.'));
  const wanted = Buffer.from('v1,' + signed.digest('base64'));
  const given = Buffer.from(headers['webhook-signature'] ?? '');
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}`;

function operationOf(operation: Described, document: Document): Html {
  const { operationId, summary, description, method, path, parameters, requestBody, security } = operation;
  const { kind, of } = answerOf(operation);
  const [scope] = security.flatMap(({ key }) => key ?? []);
  const isOpen = security.some((one) => Object.keys(one).length === 0);
  const [sent] = Object.values(requestBody?.content ?? {});
  return html`<article id="${operationId}"><h3>${summary}</h3>
<p class="address"><b>${method.toUpperCase()}</b> <code>${path}</code></p>
${description && html`<p>${code(description)}</p>`}
<p class="quiet">Scope <code>${scope}</code>${isOpen && ', or nobody in particular'}.</p>
${parameters.length > 0 && html`<dl class="fields">${parameters.map(({ name, schema, required, description: says = '' }) => fieldOf(name, schema, !required, says))}</dl>`}
${sent && html`<h4>${requestBody?.content['application/json'] ? 'Body, as JSON' : 'Form'}</h4>${fieldsIn(sent.schema, document)}`}
<p>Answer:
${kind === 'nothing' ? 'nothing (204)' : kind === 'bytes' ? 'the bytes' : html`<code>${linkedName(of)}</code>${kind === 'events' && ', one after another'}`}.</p>
${sample('curl', curlOf(operation, document), `curl-${operationId}`)}
${sample('TypeScript', typescriptOf(operation, document), `ts-${operationId}`)}
</article>`;
}

/** @param id by which a test finds it; null: it stands elsewhere too */
function sample(language: string, text: string, id: string | null): Html {
  // Long lines are scrolled, by whoever has no mouse too.
  return html`<figure><figcaption>${language}</figcaption><pre tabindex="0"${id !== null && html` id="${id}"`}>${text}</pre></figure>`;
}

/** What is sent, field by field. */
function fieldsIn(schema: Schema, { components }: Document): Html {
  const named = schema.$ref ? (components.schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {}) : schema;
  return named.properties
    ? fieldList(named)
    : html`<p>${code(named.description ?? '')} <code>${linked(named)}</code></p>`;
}

const fieldList = (schema: Schema) =>
  html`<dl class="fields">${fieldsOf(schema).map(({ name, of, optional, description }) => fieldOf(name, of, optional, description))}</dl>`;

const fieldOf = (name: string, schema: Schema, optional: boolean, description: string) =>
  html`<div><dt><code>${name}</code> <span class="type">${linked(schema)}${optional && ', optional'}</span></dt><dd>${code(description)}</dd></div>`;

/** A type, the objects in it as links. */
const linked = (schema: Schema) => linkedName(typeOf(schema));
const linkedName = (type: string): Html =>
  html`${type.split(/\b([A-Z]\w+)\b/).map((part, i) => (i % 2 && !BUILT_IN.includes(part) ? html`<a href="#${part}">${part}</a>` : part))}`;
const BUILT_IN = ['Array', 'Record', 'Blob'];

/** What stands in backticks. */
const code = (text: string): Html =>
  html`${text.split('`').map((part, i) => (i % 2 ? html`<code>${part}</code>` : part))}`;

const idOf = (name: string) => `of-${name.toLowerCase()}`;
