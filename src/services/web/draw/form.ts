/** The form that asks for pictures. Every field has what would be drawn with; what is left empty is as somebody set it in Discord. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { config } from '#config/env.ts';
import { type ParameterGroup, parameterGroups } from '#config/parameters.ts';
import { tiers } from '#config/tiers.ts';
import { pricesOf } from '#src/batches/cells.ts';
import { COUNT_MAX, type Wish } from '#src/batches/imagine.ts';
import { canSignIn } from '#src/doors/discord-sign-in.ts';
import type { ListedFolder } from '#src/faces.ts';
import {
  type Parameter,
  type ParameterJson,
  parameters,
  type ResolvedParameters,
  showValue,
} from '#src/parameters/definitions.ts';
import type { Visitor } from '#src/people/sessions.ts';
import { ownNav } from '../account/views.ts';
import { count, said } from '../account/words.ts';
import { type Html, html } from '../html.ts';
import { layout, type Page } from '../layout.ts';
import { DRAW_STYLE } from './views.ts';

/** What was typed, to be shown again; and what a picture that one is to be like was asked with. */
export type Typed = Readonly<Record<string, string>>;

/** At the top of the form; the others are behind "More". */
const FIRST = ['shape', 'tier', 'bundle'] as const;
const isFirst = (name: string) => FIRST.some((one) => one === name);

/** Those that anybody may give with one request: no operators' ones, and none that is of the person. */
const offered = [...parameters].filter(
  ([name, { operators, pixels }]) => !operators && (pixels || isFirst(name)),
);

/** A form as it was sent. Twice the same name is no form of ours. */
const Sent = z.record(z.string().max(64), z.string().max(20_000));
const Form = z.uuid();

/** @returns what they wish, which form said so, and what it had. null: no form of ours */
export function readForm(
  body: unknown,
): { readonly wish: Wish; readonly form: string; readonly typed: Typed } | null {
  const sent = Sent.safeParse(body);
  const form = Form.safeParse(sent.data?.form);
  if (!sent.data || !form.success) return null;
  const { prompt = '', face, count: many } = sent.data;
  const given: Record<string, ParameterJson> = {};
  for (const [name] of offered) {
    const value = sent.data[name]?.trim();
    if (value) given[name] = value;
  }
  const wish = { prompt, face: face || null, count: many === undefined ? 1 : Number(many), given };
  return { wish, form: form.data, typed: sent.data };
}

const groupTitles: Readonly<Record<ParameterGroup, string>> = {
  picture: 'Picture',
  drawing: 'Drawing',
  face: 'Face',
  queue: 'Queue',
};

export interface FormFacts {
  readonly visitor: Visitor | null;
  /** null: not known, or nothing can be asked for */
  readonly tokens: number | null;
  readonly folders: readonly ListedFolder[];
  /** every parameter, as it is for them */
  readonly values: ResolvedParameters;
  readonly typed: Typed;
  /** why it was not taken */
  readonly fault?: string;
  /** told above the form, as what it was filled in from */
  readonly note?: string | null;
}

export async function formPage({
  visitor,
  tokens,
  folders,
  values,
  typed,
  fault,
  note,
}: FormFacts): Promise<Page> {
  const prices = await pricesOf(values);
  const nowOf = (name: string) => typed[name] ?? String(values[name] ?? '');
  const signIn = html`<a href="/sign-in?to=/draw">Sign in</a>`;
  const usable = folders.filter(({ photos }) => photos > 0);
  const more = offered.filter(([name]) => !isFirst(name));
  const isOpen = more.some(([name]) => typed[name]);

  const select = (
    name: string,
    label: string,
    choices: readonly (readonly [value: string, text: string])[],
  ) =>
    html`<label>${label}<select name="${name}">${choices.map(
      ([value, text]) =>
        html`<option value="${value}"${value === nowOf(name) && html` selected`}>${text}</option>`,
    )}</select></label>`;

  return layout({
    title: 'Draw',
    path: '/draw',
    description: 'Ask for a picture in your own words.',
    kind: 'owned',
    style: DRAW_STYLE,
    body: html`${ownNav(visitor, '/draw', tokens)}
<form class="column ask" method="post" action="/draw">
<h1>Draw a picture</h1>
${fault !== undefined && html`<div class="fault" role="alert">${said(fault)}</div>`}
${note && html`<p class="quiet">${note}</p>`}
<input type="hidden" name="form" value="${randomUUID()}">
<label>What to draw<textarea name="prompt" rows="4" required placeholder="portrait of a woman, long red hair, emerald dress, forest">${typed.prompt ?? ''}</textarea></label>
<div class="pair">
${select('shape', 'Shape', choicesOf('shape'))}
<fieldset><legend>How many</legend><div class="segments">${Array.from({ length: COUNT_MAX }, (_, i) => {
      const number = String(i + 1);
      return html`<label><input type="radio" name="count" value="${number}"${number === (typed.count ?? '1') && html` checked`}><span>${number}</span></label>`;
    })}</div></fieldset>
${select(
  'tier',
  'How soon',
  [...tiers].map(([name, { description }]) => [
    name,
    `${name}: ${description.toLowerCase()}, ${count(prices.get(name) ?? 0, 'token')} a picture`,
  ]),
)}
${config.bundles.length > 1 && select('bundle', 'Model', choicesOf('bundle'))}
</div>
<p class="hint">A face, more steps or another model cost as much more as they take.</p>
<div>${
      visitor && !visitor.isGuest
        ? html`${
            usable.length > 0 &&
            select('face', 'Whose face', [
              ['', 'Nobody in particular'],
              ...usable.map(({ name, photos }) => [name, `${name} (${count(photos, 'photo')})`] as const),
            ])
          }<p class="hint"><a href="/draw/faces">${usable.length ? 'Face folders' : 'Add photos of a face'}</a>: pictures that look like somebody who agreed.</p>`
        : canSignIn() &&
          html`<p class="hint">${signIn} to draw somebody’s face, from photos of whoever agreed.</p>`
    }</div>
<details${isOpen && html` open`}><summary>More</summary>
${parameterGroups.map((group) => {
  const own = more.filter(([, parameter]) => parameter.group === group);
  return (
    own.length > 0 &&
    html`<h2>${groupTitles[group]}</h2><div class="pair">${own.map(([name, parameter]) => fieldOf(name, parameter, values[name] ?? null, typed[name]))}</div>`
  );
})}
</details>
<div class="actions"><button class="draw">Draw</button></div>
<p class="hint">${
      visitor
        ? null
        : html`Without signing in you have a few tokens, enough to try it. ${canSignIn() && html`${signIn}, and you have those that you have in Discord.`}`
    } The same rules hold as in Discord. Only you see what is drawn.</p>
</form>`,
  });
}

function choicesOf(name: string): readonly (readonly [string, string])[] {
  const parameter = parameters.get(name);
  return parameter?.type === 'choice' ? parameter.choices.map((choice) => [choice, choice] as const) : [];
}

/** What is left empty is as they set it, or the default: it stands there, greyed. */
function fieldOf(name: string, parameter: Parameter, value: ParameterJson, typed = ''): Html {
  const { title, description } = parameter;
  const now = showValue(name, value);
  const hint = html`<span class="hint" id="${name}-hint">${said(description)}</span>`;
  const about = html`aria-describedby="${name}-hint"`;
  if (parameter.type === 'choice' || parameter.type === 'boolean') {
    const choices = parameter.type === 'choice' ? parameter.choices : ['on', 'off'];
    return html`<label>${title}<select name="${name}" ${about}><option value="">${now}, as it is</option>${choices.map(
      (choice) => html`<option value="${choice}"${choice === typed && html` selected`}>${choice}</option>`,
    )}</select>${hint}</label>`;
  }
  if (parameter.type === 'text')
    return html`<label class="whole">${title}<textarea name="${name}" rows="2" maxlength="${parameter.maxLength}" placeholder="${now}" ${about}>${typed}</textarea>${hint}</label>`;
  if (parameter.type === 'loras')
    return html`<label>${title}<input name="${name}" value="${typed}" maxlength="200" placeholder="${now}" autocomplete="off" ${about}>${hint}</label>`;
  const step = parameter.step ?? (parameter.type === 'integer' ? 1 : 'any');
  return html`<label>${title}<input type="number" name="${name}" value="${typed}" min="${parameter.min}" max="${parameter.max}" step="${step}" placeholder="${now}" ${about}>${hint}</label>`;
}
