/** A person's own page: what they have, and the way out. */
import { guests, tokenGrants } from '#config/tiers.ts';
import { canSignIn } from '#src/doors/discord-sign-in.ts';
import type { Visitor } from '#src/people/sessions.ts';
import type { TokenLine } from '#src/people/tokens.ts';
import { styles } from '../assets.ts';
import { type Html, html } from '../html.ts';
import { layout, type Page } from '../layout.ts';
import { count, when } from './words.ts';

export const OWN_STYLE = styles('own.css', import.meta.url);

const WAYS = [
  ['/draw', 'Draw'],
  ['/draw/pictures', 'My pictures'],
  ['/draw/faces', 'Faces'],
] as const;

/** The ways between somebody's own pages. @param here path of this one. @param tokens that they have */
export function ownNav(visitor: Visitor | null, here: string, tokens?: number | null): Html {
  const name = visitor && !visitor.isGuest ? (visitor.name ?? 'Account') : null;
  const current = (path: string) => path === here && html` aria-current="page"`;
  return html`<nav class="own" aria-label="Yours">${WAYS.map(
    ([href, label]) => html`<a href="${href}"${current(href)}>${label}</a>`,
  )}<span class="me">${
    typeof tokens === 'number' && html`<span class="tokens">${count(tokens, 'token')}</span>`
  }${
    name !== null
      ? html`<a href="/account"${current('/account')}>${name}</a>`
      : canSignIn() && html`<a class="button plain" href="/sign-in?to=${here}">Sign in</a>`
  }</span></nav>`;
}

export function accountPage(
  visitor: Visitor,
  { tokens, lines, sessions }: { tokens: number | null; lines: readonly TokenLine[]; sessions: number },
): Page {
  return layout({
    title: 'Account',
    kind: 'owned',
    style: OWN_STYLE,
    body: html`${ownNav(visitor, '/account', tokens)}
<div class="column">
<h1>${visitor.isGuest ? 'You are a guest' : visitor.name}</h1>
${
  visitor.isGuest
    ? html`<p>You have ${count(tokens ?? 0, 'token')} of the ${guests.tokens} that a guest gets. Sign in, and they and your pictures
come along; a person starts with ${tokenGrants.welcome} and gets up to ${tokenGrants.daily} more every day.</p>
${canSignIn() && html`<p><a class="button" href="/sign-in?to=/account">Sign in with Discord</a></p>`}`
    : html`<p>${
        tokens === null
          ? 'You cannot ask for pictures right now.'
          : html`You have <b>${count(tokens, 'token')}</b>. Up to ${tokenGrants.daily} more come every day, until you have ${tokenGrants.max.toLocaleString('en')}.`
      } They are the same in Discord and here.</p>`
}
<h2>Where they came from and went</h2>
<ul class="ledger">${lines.map(
      (line) =>
        html`<li><span class="amount">${line.amount < 0 ? '−' : '+'}${Math.abs(line.amount).toLocaleString('en')}</span> <span>${wordFor(line)}</span> <span class="quiet">${when(line.at)}</span></li>`,
    )}</ul>
${
  !visitor.isGuest &&
  html`<h2>Programs</h2>
<p>Your own may draw as you: <a href="/account/keys">make a key</a>, and see <a href="/api">what they can do</a>.</p>`
}
<h2>Browsers</h2>
<p>${
      sessions > 1
        ? `You are signed in from ${sessions} browsers.`
        : visitor.isGuest
          ? 'Only this browser knows you: when you sign out, your guest’s pictures are out of reach.'
          : 'You are signed in from this browser alone.'
    }</p>
<div class="actions"><form method="post" action="/sign-out"><button class="plain">Sign out</button></form>
${sessions > 1 && html`<form method="post" action="/sign-out/everywhere"><button class="plain">Sign out everywhere</button></form>`}</div>
</div>`,
  });
}

function wordFor({ reason, once, title }: TokenLine): string {
  if (reason === 'charge') return title ?? 'Pictures';
  if (reason === 'refund') return title ? `Not drawn, given back: ${title}` : 'Not drawn, given back';
  const [what] = once.split(':');
  if (what === 'welcome') return 'Welcome';
  if (what === 'day') return 'Daily allowance';
  return what === 'guest' ? 'As a guest' : 'By an operator';
}
