/** What there is to read: about the pictures, about people's data, and what everybody agrees to. */

import type { Area } from './area.ts';
import { allTerms, type Terms } from './bundle-terms.ts';
import { html } from './html.ts';
import { layout, type Page } from './layout.ts';
import { send } from './send.ts';

export const pages: Area = (app) => {
  app.get('/about', async (request, reply) => send(request, reply, aboutPage(await allTerms())));
  app.get('/privacy', (request, reply) => send(request, reply, PRIVACY));
  app.get('/terms', (request, reply) => send(request, reply, TERMS));
};

function aboutPage(bundles: readonly Terms[]): Page {
  return layout({
    title: 'About',
    path: '/about',
    kind: 'text',
    body: html`<h1>About these pictures</h1>
<p>Each of them was drawn by a machine because somebody asked for it in Discord. They are here because the person who
asked and somebody who looks after the gallery both chose to show them; they leave as soon as that choice is taken
back.</p>
<p>None of them is a photograph. Where one was drawn after photos of somebody’s face, their consent was recorded first.
What a picture was asked with, and by whom, stands beside it only where that person shares it; everybody decides that for
themselves, in Discord, and may change their mind: <code>/set share_prompts on</code> and
<code>/set maker_name</code>. Every file is signed, and says that an algorithm made it; a
watermark in its pixels says so too. <a href="/detect">See whether a picture was drawn here.</a></p>
<p>If a picture should not be here, press Report on its page: it is out of sight until a moderator has looked at it.</p>
<p>For feed readers there are <a href="/feed.atom">Atom</a> and <a href="/feed.json">JSON Feed</a>. More:
<a href="/privacy">privacy</a> and <a href="/terms">terms</a>.</p>
${bundles.map(
  ({ title, standIn, licence }) => html`<h2>${title}</h2>
${
  standIn &&
  html`<p>This is a stand-in: a small procedural world that this project draws by itself, for tests and
demonstrations. It is not a trained model.</p>`
}
<p>Terms: ${licence ?? 'unknown here, as it is not installed on this machine.'}</p>`,
)}`,
  });
}

const PRIVACY = layout({
  title: 'Privacy',
  path: '/privacy',
  kind: 'text',
  body: html`<h1>Privacy</h1>
<h2>If you only look</h2>
<p>These pages set no cookie, load nothing from other sites and count nobody. Your address is used to answer you, and to take no more
than a few reports an hour from one place; it is written down nowhere.</p>
<h2>If you draw</h2>
<p>Kept are your Discord id and language, your settings and tokens, what you asked for, the pictures, and the photos that you added with
consent. No other message is read. <code>/faces remove</code> deletes photos, and Delete under a picture deletes the picture.</p>
<h2>What others see</h2>
<p>A picture comes to these pages only when you and somebody who looks after the gallery both say so. Its prompt and parameters are shown
only while <code>/set share_prompts on</code> counts for you, and a name only while you have given one with
<code>/set maker_name</code>. Both are off until you say otherwise, and hold for all that you published: switched off, they are gone from
here within seconds. Faces in your photos, and the photos, are never shown.</p>
<h2>Photos of faces</h2>
<p>A photo is used only after the person in it, or whoever may decide for them, agreed. Taken back, the photos go, and so does what was
measured in them and what was drawn from them.</p>`,
});

const TERMS = layout({
  title: 'Terms',
  path: '/terms',
  kind: 'text',
  body: html`<h1>Terms</h1>
<ol>
<li>Ask for nothing that is against the law where you are, or against Discord’s rules. Prompts and pictures are checked, and people look at
what is flagged or reported.</li>
<li>Draw nobody who has not agreed to it. No pictures of children in any sexual way, ever.</li>
<li>Pictures are made by a machine and say so in their files. Do not remove that, and do not pass them off as photographs.</li>
<li>What you may do with a picture depends on the terms of the model that drew it: <a href="/about">they are named here</a>.</li>
<li>A picture may be taken down by who asked for it, by those who look after the gallery, and by moderators. Who breaks these terms may be
kept from drawing.</li>
<li>There is no promise that any of this is there tomorrow.</li>
</ol>`,
});
