/** What moderators see of reviews: the list, one of them, and what is refused. Only one with a picture has it, in the page itself. */
import { scoresOf, whyHeld } from '#src/cards/review.ts';
import { type Decision, partsOf, REASON_LENGTH, type Reviewed } from '#src/moderation/reviews.ts';
import { isGuest } from '#src/people/people.ts';
import { ownPart } from '#src/people/rights.ts';
import { actorOf, type Visitor } from '#src/people/sessions.ts';
import { sayIn } from '#src/say.ts';
import { oneLine } from '#src/text.ts';
import { OWN_STYLE, ownNav } from '../account/views.ts';
import { said, when } from '../account/words.ts';
import { styles } from '../assets.ts';
import { type Html, html, type Part } from '../html.ts';
import { layout, notePage, type Page } from '../layout.ts';

const STYLE = OWN_STYLE + styles('reviews.css', import.meta.url);
/** Characters, as on the card in Discord. */
const PROMPT_SHOWN = 600;

const say = sayIn('en');

/** What Discord shows for people and guilds, by their ids. */
export type Names = ReadonlyMap<string, string>;

/** Where in the list somebody is. */
interface Where {
  /** a guild, of which alone reviews are listed */
  readonly server?: string | undefined;
  /** the review before the first that is listed */
  readonly after?: string | undefined;
}

/** What is looked at. */
export interface Picture {
  readonly webp: Buffer;
  /** px */
  readonly width: number;
  readonly height: number;
}

/** An address with what is known of where somebody is. */
export function pathOf(
  path: string,
  { server, after, past }: Where & { readonly past?: string | undefined },
): string {
  const known = Object.entries({ server, after, past }).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, value]],
  );
  return known.length ? `${path}?${new URLSearchParams(known)}` : path;
}

export interface List {
  readonly visitor: Visitor;
  readonly where: Where & { readonly past?: string | undefined };
  /** theirs on the review that they come from */
  readonly decision: Decision | null;
  readonly listed: readonly Reviewed[];
  /** how many are open in all */
  readonly open: number;
  readonly names: Names;
  /** the review after which it goes on */
  readonly next: string | undefined;
  /** other guilds have open reviews too */
  readonly more: boolean;
}

export function listPage({ visitor, where, decision, listed, open, names, next, more }: List): Page {
  const { server, after, past } = where;
  const theirs = listed.filter((review) => !ownPart(actorOf(visitor), partsOf(review)));
  // After one is dealt with the keyboard is at the one behind it.
  const focused = past === undefined ? undefined : (theirs.find(({ id }) => id > past) ?? theirs[0]);
  return layout({
    title: 'Reviews',
    kind: 'owned',
    style: STYLE,
    body: html`${ownNav(visitor, '/reviews')}
<h1${past !== undefined && !focused && html` tabindex="-1" autofocus`}>Reviews <small class="quiet">${open > 0 && `${open.toLocaleString('en')} open`}</small></h1>
${decision && html`<p class="told" role="status">${outcomes[decision]}</p>`}
${server !== undefined && html`<p class="quiet">Of ${names.get(server) ?? 'one server'} alone. <a href="/reviews">Of all servers</a></p>`}
${
  listed.length === 0
    ? html`<p class="empty">Nothing waits. What the classifier flags, and what somebody reports, comes here.</p>`
    : html`<ol class="reviews">${listed.map((review) => itemOf(review, { visitor, where, names, focused: review === focused }))}</ol>`
}
${
  (after !== undefined || next !== undefined) &&
  html`<nav class="actions" aria-label="Pages">${after !== undefined && html`<a class="button plain" href="${pathOf('/reviews', { server })}">From the oldest</a>`}${
    next !== undefined &&
    html`<a class="button plain" href="${pathOf('/reviews', { server, after: next })}" rel="next">Later ones</a>`
  }</nav>`
}
${more && html`<p class="quiet">Reviews wait in more servers than are asked about at once. If yours is not here, come from a review’s card in Discord.</p>`}`,
  });
}

const outcomes: Readonly<Record<Decision, string>> = {
  approved: say('Approved: the picture is delivered to the person who asked for it.'),
  rejected: say('Rejected: the picture is deleted, and the person who asked for it has a strike.'),
};

function itemOf(
  review: Reviewed,
  { visitor, where, names, focused }: { visitor: Visitor; where: Where; names: Names; focused: boolean },
): Html {
  const { id, image } = review;
  const own = ownPart(actorOf(visitor), partsOf(review));
  return html`<li class="review" id="r-${id}"><article aria-labelledby="w-${id}">
<h2 id="w-${id}">${whyOf(review, names)}</h2>
${factsOf(review, names)}
<div class="foot">${
    own
      ? html`<p class="quiet">${said(own.userMessage)}</p>`
      : html`${image.deletedAt ? GONE : lookForm(review, where, focused)}
${unseenForms(review, where)}`
  }</div></article></li>`;
}

const GONE = html`<p class="quiet">The picture was deleted meanwhile: there is nothing to look at.</p>`;

/** @param picture null: it was not asked for yet */
export function reviewPage({
  visitor,
  where,
  review,
  names,
  picture,
}: {
  visitor: Visitor;
  where: Where;
  review: Reviewed;
  names: Names;
  picture: Picture | null;
}): Page {
  const { id, image, state, reason } = review;
  const open = state === 'pending';
  return layout({
    title: 'Review',
    kind: 'owned',
    style: STYLE,
    body: html`${ownNav(visitor, '/reviews')}
<div${!picture && html` class="column"`}>
<p class="back"><a href="${pathOf('/reviews', { ...where, past: id })}">All that waits</a></p>
<h1 id="w-${id}" tabindex="-1" autofocus>${whyOf(review, names)}</h1>
<div${picture && html` class="looked"`}>${picture && figureOf(picture)}
<section aria-label="The review">
${factsOf(review, names)}
${
  open
    ? picture
      ? formsOf(review, where)
      : html`<div class="foot">${image.deletedAt ? GONE : html`${lookForm(review, where)}<p class="hint">That you look is noted in the audit log, each time.</p>`}
${unseenForms(review, where)}</div>`
    : html`<p class="told">${decidedOf(review, names)}</p>${reason !== null && html`<blockquote dir="auto">${reason}</blockquote>`}`
}
</section></div></div>`,
  });
}

/** The only place where a picture stands that is held: no address has it that could be kept or passed on. */
function figureOf({ webp, width, height }: Picture): Html {
  return html`<figure><img src="data:image/webp;base64,${webp.toString('base64')}" width="${width}" height="${height}" alt="The picture that is held for review"></figure>`;
}

function lookForm({ id }: Reviewed, where: Where, focused = false): Html {
  return html`<form method="post" action="/reviews/${id}/look">${hidden(where)}<button aria-describedby="w-${id}"${focused && html` autofocus`}>Look</button></form>`;
}

/** Nobody has to see what words and scores say enough of. */
function unseenForms(review: Reviewed, where: Where): Html {
  return html`<details><summary>Decide without looking</summary>${formsOf(review, where)}</details>`;
}

/** Reject and Approve are forms of their own: a reason belongs to one of them. */
function formsOf({ id }: Reviewed, where: Where): Html {
  const action = `/reviews/${id}/decision`;
  return html`<div class="decide"><form method="post" action="${action}">${hidden(where)}<button name="decision" value="approved">Approve</button>
<p class="hint">Delivered to whoever asked for it.</p></form>
<form method="post" action="${action}">${hidden(where)}<label>Reason<textarea name="reason" rows="2" maxlength="${REASON_LENGTH}"></textarea></label>
<p class="hint">${say('Kept with the decision, and told to the person who asked.')}</p>
<button class="reject" name="decision" value="rejected">Reject</button>
<p class="hint">Deleted, and a strike for whoever asked.</p></form></div>`;
}

const hidden = ({ server, after }: Where) =>
  Object.entries({ server, after }).map(
    ([name, value]) => value !== undefined && html`<input type="hidden" name="${name}" value="${value}">`,
  );

const whyOf = (review: Reviewed, names: Names) => said(whyHeld(say, review), names);

function factsOf(review: Reviewed, names: Names): Html {
  const { image, createdAt } = review;
  const { generation } = image;
  const scores = scoresOf(image);
  const facts: [name: string, value: Part][] = [
    ['Asked', askedBy(review, names)],
    ['Came in', when(createdAt)],
    [
      'Face',
      generation.faceId === null
        ? 'none was asked for'
        : image.likeness === null
          ? 'asked for, and not found in it'
          : 'of a face folder, in it',
    ],
    [
      'Scores',
      scores.length
        ? scores.map(
            ([label, score]) => html`<span class="score">${label} <b>${score.toFixed(2)}</b></span> `,
          )
        : 'none',
    ],
  ];
  const prompt = [...oneLine(generation.prompt)];
  const words =
    prompt.length > PROMPT_SHOWN ? `${prompt.slice(0, PROMPT_SHOWN - 1).join('')}…` : prompt.join('');
  return html`<blockquote dir="auto">${words}</blockquote>
<dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** As the card in Discord says it, with names for its mentions. */
function askedBy({ image }: Reviewed, names: Names): string {
  const { userId, batch } = image.generation;
  const who = isGuest(userId) ? 'a guest' : (names.get(userId) ?? userId);
  if (batch.channelId === null) return `by ${who}, on the web`;
  if (batch.guildId === null) return `by ${who}, in a direct message`;
  return `by ${who}, in ${names.get(batch.guildId) ?? `a server where the bot is not (${batch.guildId})`}`;
}

function decidedOf({ state, moderatorId, decidedAt }: Reviewed, names: Names): Html {
  const who = moderatorId === null ? 'somebody' : (names.get(moderatorId) ?? moderatorId);
  return html`${state === 'approved' ? 'Approved' : 'Rejected'} by ${who}${decidedAt && html` ${when(decidedAt)}`}.`;
}

const BACK = { back: '/reviews', names: new Map() };

/** @param sentence as Discord would have it. @param back to the list */
export function refusalPage(sentence: string, { back, names }: { back: string; names: Names } = BACK): Page {
  return layout({
    title: 'That did not work',
    kind: 'text',
    style: OWN_STYLE,
    body: html`<h1>That did not work</h1>
<p role="alert">${said(sentence, names)}</p>
<p><a class="button" href="${back}" autofocus>On with the others</a></p>`,
  });
}

export const UNDECIDED = refusalPage('Say whether it is approved or rejected.');

export function signInFirst(to: string): Page {
  return notePage(
    'Sign in first',
    html`This page is for moderators. <a href="/sign-in?to=${encodeURIComponent(to)}">Sign in</a>`,
  );
}

export const NOT_YOURS = notePage(
  'Not for you',
  'This page is for moderators of servers in which a review is open. If you are one, come from a review’s card in Discord, or have your role looked at there.',
);
