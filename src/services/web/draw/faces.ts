/**
 * Face folders on the web, as `/faces` in Discord: photos are sent, a worker looks at them, and only after their person, or somebody with
 * their permission, has said yes to the same text are they used. For those who signed in: a yes is somebody's.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { db, type FacePhoto } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { consentText, giveConsent, listFolders, ownFolder, PHOTOS_MAX, refuseConsent } from '#src/faces.ts';
import type { Actor } from '#src/people/people.ts';
import { actorOf, type Visitor } from '#src/people/sessions.ts';
import { sayIn } from '#src/say.ts';
import { OF_ONE_COMMAND } from '#src/uploads/photos.ts';
import { removeFolder } from '#src/withdrawal.ts';
import { often } from '../account/guard.ts';
import { ownNav } from '../account/views.ts';
import { pageVisitor } from '../account/visitor.ts';
import { count, said } from '../account/words.ts';
import { html } from '../html.ts';
import { layout, type Page } from '../layout.ts';
import { keepUpload, readUpload, takeUploads, UPLOAD_MAX } from '../photo-uploads.ts';
import { send } from '../send.ts';
import { DRAW_STYLE } from './views.ts';

const say = sayIn('en');
/** While a worker looks at photos, s. */
const REFRESH = 2;
const Id = z.uuid();
const Ids = z
  .object({ photos: z.string().max(1_000) })
  .transform(({ photos }) => photos.split(' ').filter((id) => Id.safeParse(id).success));

export async function faces(area: FastifyInstance): Promise<void> {
  await takeUploads(area);

  area.get('/draw/faces', async (request, reply) => {
    const visitor = await pageVisitor(request, reply);
    if (!visitor || visitor.isGuest)
      return reply.header('cache-control', 'no-store').redirect('/sign-in?to=/draw/faces', 303);
    return send(request, reply, await foldersPage(visitor), { own: true });
  });

  area.post('/draw/faces', { ...often(30), bodyLimit: UPLOAD_MAX }, async (request, reply) => {
    const visitor = await signedIn(request, reply);
    const upload = await readUpload(request, visitor.userId);
    try {
      const folder = await keepUpload(actorOf(visitor), upload);
      return reply.header('cache-control', 'no-store').redirect(`/draw/faces/${folder.id}`, 303);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const page = await foldersPage(visitor, { name: upload.name, fault: error.userMessage });
      return send(request, reply.code(400), page, { own: true });
    }
  });

  area.get<{ Params: { id: string } }>('/draw/faces/:id', async (request, reply) => {
    const visitor = await signedIn(request, reply);
    const { folder, photos } = await ownPhotos(actorOf(visitor), request.params.id);
    return send(request, reply, folderPage(visitor, folder, photos), { own: true });
  });

  area.post<{ Params: { id: string } }>('/draw/faces/:id/consent', often(30), async (request, reply) => {
    const visitor = await signedIn(request, reply);
    const { folder } = await ownPhotos(actorOf(visitor), request.params.id);
    const shown = Ids.safeParse(request.body);
    await giveConsent(actorOf(visitor), folder.id, consentText(say), shown.data ?? []);
    return reply.header('cache-control', 'no-store').redirect(`/draw/faces/${folder.id}`, 303);
  });

  area.post<{ Params: { id: string } }>('/draw/faces/:id/refuse', often(30), async (request, reply) => {
    const visitor = await signedIn(request, reply);
    const { folder } = await ownPhotos(actorOf(visitor), request.params.id);
    await refuseConsent(actorOf(visitor), folder.id);
    return reply.header('cache-control', 'no-store').redirect('/draw/faces', 303);
  });

  area.post<{ Params: { id: string } }>('/draw/faces/:id/remove', often(30), async (request, reply) => {
    const visitor = await signedIn(request, reply);
    const { folder } = await ownPhotos(actorOf(visitor), request.params.id);
    await removeFolder(actorOf(visitor), folder.name);
    return reply.header('cache-control', 'no-store').redirect('/draw/faces', 303);
  });
}

/** @throws {UserError} `sign_in_first` */
async function signedIn(request: FastifyRequest, reply: FastifyReply): Promise<Visitor> {
  const visitor = await pageVisitor(request, reply);
  if (!visitor || visitor.isGuest) throw new UserError('sign_in_first', {});
  return visitor;
}

/** @throws {UserError} `gone`: not there, or somebody else's */
export async function ownPhotos(actor: Actor, id: string) {
  if (!Id.safeParse(id).success) throw new UserError('gone', {});
  const folder = await ownFolder(actor, id).catch((error: unknown) => {
    throw error instanceof UserError ? new UserError('gone', {}) : error;
  });
  const photos = await db.facePhoto.findMany({
    where: { folderId: id },
    orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
  });
  return { folder, photos };
}

async function foldersPage(
  visitor: Visitor,
  { name = '', fault }: { name?: string; fault?: string } = {},
): Promise<Page> {
  const folders = await listFolders(visitor.userId);
  return layout({
    title: 'Faces',
    kind: 'owned',
    style: DRAW_STYLE,
    body: html`${ownNav(visitor, '/draw/faces')}
<div class="column ask">
<h1>Face folders</h1>
<p>Photos of one person who agreed, so that pictures look like them. They are yours alone, here and in Discord.</p>
${
  folders.length > 0 &&
  html`<ul class="ledger">${folders.map(
    ({ id, name, photos }) =>
      html`<li><span class="amount">${photos}</span><a href="/draw/faces/${id}">${name}</a><span class="quiet">${photos ? 'photos with consent' : 'waits for consent'}</span></li>`,
  )}</ul>`
}
<form method="post" action="/draw/faces" enctype="multipart/form-data">
<h2>Add photos</h2>
${fault !== undefined && html`<div class="fault" role="alert">${fault.split('\n').map((line) => html`<p>${said(line)}</p>`)}</div>`}
<label>Folder, new or old<input name="name" value="${name}" required maxlength="32" pattern="[a-z0-9][a-z0-9_\\-]{0,31}" autocapitalize="none" autocomplete="off" spellcheck="false" aria-describedby="name-hint"><span class="hint" id="name-hint">Lower-case letters, digits, - or _.</span></label>
<label>Photos<input type="file" name="photos" accept="image/jpeg,image/png,image/webp,image/avif" multiple required aria-describedby="photos-hint"><span class="hint" id="photos-hint">Up to ${OF_ONE_COMMAND} at once, each with one face and at most 10 MiB: JPEG, PNG, WebP or AVIF. A folder holds ${PHOTOS_MAX}.</span></label>
<div class="actions"><button>Send the photos</button></div>
<p class="hint">Nothing is drawn with them before you have agreed to what stands on the next page.</p>
</form>
</div>`,
  });
}

function folderPage(
  visitor: Visitor,
  folder: { readonly id: string; readonly name: string },
  photos: readonly FacePhoto[],
): Page {
  const of = (state: FacePhoto['state']) => photos.filter((photo) => photo.state === state);
  const [checking, checked, accepted, rejected] = [
    of('checking'),
    of('checked'),
    of('accepted'),
    of('rejected'),
  ];
  const action = (what: string) => `/draw/faces/${folder.id}/${what}`;
  return layout({
    title: folder.name,
    kind: 'owned',
    style: DRAW_STYLE,
    head: checking.length ? html`<meta http-equiv="refresh" content="${REFRESH}">` : null,
    body: html`${ownNav(visitor, '/draw/faces')}
<div class="column">
<h1>${folder.name}</h1>
<p>${count(accepted.length, 'photo')} with consent.</p>
${checking.length > 0 && html`<p role="status">${count(checking.length, 'photo')} being looked at: is there one face in each?</p>`}
${
  rejected.length > 0 &&
  html`<div class="fault">${rejected.map(({ reason }) => html`<p>${reason === 'face_many' ? 'In one photo there was more than one face.' : reason === 'face_none' ? 'In one photo I found no face.' : 'One photo was not taken.'}</p>`)}<p>Nothing of ${rejected.length === 1 ? 'it' : 'them'} was kept. Use photos with one face, seen from the front.</p></div>`
}
${
  checked.length > 0 &&
  checking.length === 0 &&
  html`<section class="consent" aria-labelledby="consent"><h2 id="consent">Before anything is drawn with ${count(checked.length, 'photo')}</h2>
${consentText(say)
  .split('\n')
  .map((line) => html`<p>${said(line)}</p>`)}
<div class="actions"><form method="post" action="${action('consent')}"><input type="hidden" name="photos" value="${checked.map(({ id }) => id).join(' ')}"><button>I consent</button></form>
<form method="post" action="${action('refuse')}"><button class="plain">No, delete them</button></form></div>
<p class="hint">Without an answer they are deleted within an hour.</p></section>`
}
<div class="actions">${accepted.length > 0 && html`<a class="button" href="/draw">Draw with it</a>`}<a class="button plain" href="/draw/faces">Add photos</a>
<form method="post" action="${action('remove')}"><button class="plain">Delete the folder</button></form></div>
<p class="hint">Deleted, all its photos are gone for good, and what was to be drawn with them is not.</p>
</div>`,
  });
}
