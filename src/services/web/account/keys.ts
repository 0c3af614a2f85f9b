/** Keys of the API, on the account page: made with a form, shown once, revoked. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { UserError } from '#src/errors.ts';
import {
  KEYS_MAX,
  type ListedKey,
  listKeys,
  makeKey,
  NAME_MAX,
  revokeKey,
  type ShownKey,
  scopes,
} from '#src/people/keys.ts';
import { actorOf, type Visitor } from '#src/people/sessions.ts';
import { DRAW_STYLE } from '../draw/views.ts';
import { type Html, html } from '../html.ts';
import { layout, type Page } from '../layout.ts';
import { send } from '../send.ts';
import { often } from './guard.ts';
import { ownNav } from './views.ts';
import { visitorIn } from './visitor.ts';
import { said, when } from './words.ts';

const one = z.enum(scopes);
const Form = z.object({
  name: z.string().max(200),
  scope: z.union([one.transform((scope) => [scope]), z.array(one).max(scopes.length)]).default(['read']),
  webhook: z.string().max(600).default(''),
});
const Id = z.uuid();

const WHAT: Readonly<Record<(typeof scopes)[number], string>> = {
  read: 'See your pictures, tokens and parameters',
  draw: 'Ask for pictures and cancel them, set parameters',
  faces: 'Your face folders: add photos, consent, delete',
};

export function keys(area: FastifyInstance): void {
  const person = async (request: Parameters<typeof visitorIn>[0]) => {
    const visitor = await visitorIn(request);
    if (!visitor || visitor.isGuest) throw new UserError('sign_in_first', {});
    return visitor;
  };

  area.get('/account/keys', async (request, reply) => {
    const visitor = await visitorIn(request);
    if (!visitor || visitor.isGuest)
      return reply.header('cache-control', 'no-store').redirect('/sign-in?to=/account/keys', 303);
    return send(request, reply, keysPage(visitor, await listKeys(visitor.userId)), { own: true });
  });

  area.post('/account/keys', often(30), async (request, reply) => {
    const visitor = await person(request);
    const form = Form.safeParse(request.body);
    try {
      if (!form.success) throw new UserError('key_name', { max: NAME_MAX });
      const { name, scope, webhook } = form.data;
      const wanted = { name, scopes: [...new Set(scope)], webhookUrl: webhook.trim() || null };
      const shown = await makeKey(actorOf(visitor), wanted);
      // Not led elsewhere: it is shown in this answer, and never again.
      return send(request, reply, keysPage(visitor, await listKeys(visitor.userId), { shown }), {
        own: true,
      });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const page = keysPage(visitor, await listKeys(visitor.userId), { fault: error.userMessage });
      return send(request, reply.code(400), page, { own: true });
    }
  });

  area.post<{ Params: { id: string } }>('/account/keys/:id/revoke', often(30), async (request, reply) => {
    const visitor = await person(request);
    if (!Id.safeParse(request.params.id).success) throw new UserError('gone', {});
    await revokeKey(actorOf(visitor), request.params.id);
    return reply.header('cache-control', 'no-store').redirect('/account/keys', 303);
  });
}

function keysPage(
  visitor: Visitor,
  listed: readonly ListedKey[],
  { shown, fault }: { shown?: ShownKey; fault?: string } = {},
): Page {
  return layout({
    title: 'Keys',
    kind: 'owned',
    style: DRAW_STYLE,
    body: html`${ownNav(visitor, '/account/keys')}
<div class="column ask">
<h1>Keys of the API</h1>
<p>With a key your own programs draw as you, with your tokens. <a href="/api">What they can do</a></p>
${shown && shownOnce(shown)}
${
  listed.length > 0 &&
  html`<ul class="ledger keys">${listed.map(
    (key) => html`<li><div><b>${key.name}</b> <code>atelier_${key.prefix}_…</code>
<p class="quiet">${key.scopes.join(', ')} · ${key.lastUsedAt ? html`used ${when(key.lastUsedAt)}` : 'never used'} · made ${when(key.createdAt)}</p>
${key.webhookUrl !== null && html`<p class="quiet">Webhook: ${key.webhookUrl}</p>`}</div>
<form method="post" action="/account/keys/${key.id}/revoke"><button class="plain">Revoke<span class="skip"> ${key.name}</span></button></form></li>`,
  )}</ul>`
}
${
  listed.length < KEYS_MAX &&
  html`<h2>Make a key</h2>
${fault !== undefined && html`<div class="fault" role="alert">${said(fault)}</div>`}
<form method="post" action="/account/keys">
<label>What it is for<input name="name" required maxlength="${NAME_MAX}" autocomplete="off"></label>
<fieldset><legend>What it may do</legend>${scopes.map(
    (scope) =>
      html`<label class="check"><input type="checkbox" name="scope" value="${scope}"${scope !== 'faces' && html` checked`}> <span><b>${scope}</b> ${WHAT[scope]}</span></label>`,
  )}</fieldset>
<label>Webhook, if you like<input type="url" name="webhook" maxlength="500" placeholder="https://example.com/atelier" autocomplete="off" aria-describedby="webhook-hint"><span class="hint" id="webhook-hint">Is told when a batch that this key asked for has ended. Public, by https.</span></label>
<div class="actions"><button>Make it</button></div>
</form>`
}
</div>`,
  });
}

function shownOnce({ key, webhookSecret }: ShownKey): Html {
  return html`<section class="once" aria-labelledby="once"><h2 id="once">Copy it now: it is not shown again</h2>
<p><code>${key}</code></p>
${webhookSecret !== null && html`<p>What its webhooks are signed with:</p><p><code>${webhookSecret}</code></p>`}</section>`;
}
