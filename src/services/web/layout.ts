/**
 * What all pages share: the head, the header with the ways to go, the landmarks, the footer. A page is the same for everybody who
 * asks for its address, so that it can be kept; what is somebody's own is on pages that say `private`.
 */
import { createHash } from 'node:crypto';
import { config } from '#config/env.ts';
import { gallery } from '#config/gallery.ts';
import { type Asset, styles } from './assets.ts';
import { type Html, html } from './html.ts';

/** A finished page. */
export interface Page {
  readonly html: string;
  /** its content security policy */
  readonly policy: string;
}

export interface Parts {
  /** the gallery's name is put after it */
  readonly title: string;
  /** goes into one `<main>` */
  readonly body: Html;
  /** a class of `<main>`; `text` is a column to read or to fill in */
  readonly kind?: string;
  /** of search engines and cards */
  readonly description?: string;
  /** where it is found for good, as `/about`; left out: search engines are told not to keep it */
  readonly path?: string;
  /** more for the head */
  readonly head?: Html | null;
  /** style sheets of its own, as `styles('wall.css', import.meta.url)` */
  readonly style?: string;
  readonly scripts?: readonly Asset[];
}

const BASE = styles('style.css', import.meta.url);
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Crect x='1' width='6' height='8' rx='.6' fill='%23b5602f'/%3E%3C/svg%3E";
/** The header's links. What is somebody's own stands at its end. */
const WAYS = [
  ['/', 'Wall'],
  ['/curated', 'Curated'],
  ['/about', 'About'],
] as const;

/** Nothing but what is named, and from here. Pages send forms and scripts ask only this origin. */
export const POLICY = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/** Where people find this service: never what a request says of its host. */
export const site = { origin: new URL(config.web.publicUrl ?? 'http://127.0.0.1').origin };

export const urlOf = (path: string) => new URL(path, site.origin).href;

export function layout({
  title,
  body,
  kind,
  description,
  path,
  head,
  style = '',
  scripts = [],
}: Parts): Page {
  const name = path === '/' ? title : `${title} · ${gallery.title}`;
  const sheets = [BASE, style].filter(Boolean);
  const { html: text } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${name}</title>
<meta name="description" content="${description ?? gallery.tagline}">
<meta name="color-scheme" content="light dark">
${path === undefined ? html`<meta name="robots" content="noindex">` : html`<link rel="canonical" href="${urlOf(path)}">`}
<link rel="icon" href="${ICON}">
<link rel="alternate" type="application/atom+xml" title="${gallery.title}" href="/feed.atom">
<link rel="alternate" type="application/feed+json" title="${gallery.title}" href="/feed.json">
${head}
${sheets.map((sheet) => html`<style>${{ html: sheet }}</style>`)}
${scripts.map((script) => html`<script type="module" src="${script.path}"></script>`)}
</head>
<body>
<a class="skip" href="#main">To the content</a>
<header class="top">
<a class="name" href="/">${gallery.title}</a>
<nav aria-label="Site">${WAYS.map(
    ([href, label]) => html`<a href="${href}"${path === href && html` aria-current="page"`}>${label}</a>`,
  )}</nav>
<form role="search" action="/search"><input type="search" name="q" aria-label="Search by words of prompts" placeholder="Search" maxlength="200" enterkeyhint="search"></form>
<a class="button" href="/draw">Draw</a>
</header>
<main id="main"${kind !== undefined && html` class="${kind}"`}>
${body}
</main>
<footer><p>Every picture here was made by a machine.</p><nav aria-label="About this site"><a href="/about">About</a><a href="/detect">Detect</a><a href="/api">API</a><a href="/privacy">Privacy</a><a href="/terms">Terms</a><a href="/feed.atom">Feed</a></nav></footer>
</body>
</html>
`;
  const hashes = sheets.map((sheet) => `'sha256-${createHash('sha256').update(sheet).digest('base64')}'`);
  return {
    html: text,
    policy: [
      POLICY,
      "form-action 'self'",
      "img-src 'self' data:",
      `style-src ${hashes.join(' ')}`,
      ...(scripts.length ? ["script-src 'self'", "connect-src 'self'"] : []),
    ].join('; '),
  };
}

/** One clear sentence, and a way on. */
export function notePage(title: string, sentence: string | Html): Page {
  return layout({
    title,
    kind: 'text',
    body: html`<h1>${title}</h1>
<p>${sentence}</p>
<p><a href="/">See the pictures</a></p>`,
  });
}
