/** Face folders: photos of one person who agreed, to the same text as in Discord. For people: a consent is somebody's. */
import { z } from 'zod';
import type { FacePhoto } from '#src/doors/db.ts';
import {
  CONSENT_VERSION,
  consentText,
  giveConsent,
  listFolders,
  PHOTOS_MAX,
  refuseConsent,
} from '#src/faces.ts';
import type { Actor } from '#src/people/people.ts';
import { sayIn } from '#src/say.ts';
import { OF_ONE_COMMAND } from '#src/uploads/photos.ts';
import { removeFolder } from '#src/withdrawal.ts';
import { ownPhotos } from '../draw/faces.ts';
import { keepUpload, readUpload, takeUploads, UPLOAD_MAX } from '../photo-uploads.ts';
import { BASE, personFor } from './caller.ts';
import { ApiProblem, refusals } from './problem.ts';
import { byId, known, knownId, type Routes, time } from './routes.ts';

const ListedFace = z
  .object({ id: z.uuid(), name: z.string(), photos: z.int().min(0).describe('That may be used.') })
  .meta({ id: 'ListedFace', description: 'A face folder, in a list.' });

const Photo = z
  .object({
    id: z.uuid(),
    state: z
      .enum(['checking', 'checked', 'accepted', 'rejected'])
      .describe(
        '`checking`: a worker looks at it. `checked`: one face was found, and it waits for consent. `accepted`: it may be used.',
      ),
    reason: z.string().nullable().describe('Why it was rejected, as `face_none`; null otherwise.'),
    width: z.int().describe('px'),
    height: z.int().describe('px'),
    consentAt: time('When its person agreed; null: not yet.').nullable(),
  })
  .meta({ id: 'Photo', description: 'One photo of a face folder. Its bytes are given to nobody.' });

const Face = z
  .object({
    id: z.uuid(),
    name: z.string(),
    photos: z.array(Photo),
    consent: z.object({
      version: z.int().min(1).describe('Of the text.'),
      text: z.string().describe('What somebody agrees to with `consent`: show it to them.'),
    }),
  })
  .meta({ id: 'Face', description: 'A face folder with its photos.' });

const FaceList = z.object({ items: z.array(ListedFace) }).meta({ id: 'FaceList' });

const NewConsent = z
  .strictObject({
    version: z.int().min(1).describe('Of the text that was read.'),
    photos: z.array(z.uuid()).min(1).max(PHOTOS_MAX).describe('Ids of photos that are `checked`.'),
  })
  .meta({
    id: 'NewConsent',
    description: 'Somebody has read the text and agrees to it, for these photos.',
    examples: [{ version: CONSENT_VERSION, photos: ['$PHOTO'] }],
  });

const Gone = z.undefined().describe('It is gone');

const say = sayIn('en');

async function faceOf(actor: Actor, id: string): Promise<z.output<typeof Face>> {
  const { folder, photos } = await ownPhotos(actor, knownId(id));
  return {
    id: folder.id,
    name: folder.name,
    photos: photos.map(photoOf),
    consent: { version: CONSENT_VERSION, text: consentText(say) },
  };
}

function photoOf({ id, state, reason, width, height, consentAt }: FacePhoto): z.output<typeof Photo> {
  return { id, state, reason, width, height, consentAt: consentAt?.toISOString() ?? null };
}

export async function faces(area: Routes): Promise<void> {
  await takeUploads(area);

  area.get(
    '/faces',
    {
      schema: {
        operationId: 'listFaces',
        tags: ['Faces'],
        summary: 'List your face folders',
        security: known('faces'),
        response: { 200: FaceList, default: refusals },
      },
    },
    async (request) => ({ items: await listFolders(personFor(request).id) }),
  );

  area.post(
    '/faces',
    {
      bodyLimit: UPLOAD_MAX,
      schema: {
        operationId: 'addPhotos',
        tags: ['Faces'],
        summary: 'Add photos to a face folder',
        description: `Makes the folder if there is none of that name. Up to ${OF_ONE_COMMAND} photos at once, each with one face and at most 10 MiB: JPEG, PNG, WebP or AVIF. Nothing is drawn with them before \`consent\`; without it they are deleted within an hour.`,
        security: known('faces'),
        consumes: ['multipart/form-data'],
        body: z.object({
          name: z.string().describe('1 to 32 lower-case letters, digits, - or _'),
          photos: z.array(z.string().meta({ format: 'binary' })),
        }),
        response: { 201: Face, default: refusals },
      },
      // It is read as it comes in.
      validatorCompiler: () => (value) => ({ value }),
    },
    async (request, reply) => {
      const actor = personFor(request);
      if (!request.isMultipart()) throw new ApiProblem('media_type');
      const { id } = await keepUpload(actor, await readUpload(request, actor.id));
      return reply
        .code(201)
        .header('location', `${BASE}/faces/${id}`)
        .send(await faceOf(actor, id));
    },
  );

  area.get(
    '/faces/:id',
    {
      schema: {
        operationId: 'getFace',
        tags: ['Faces'],
        summary: 'Get a face folder',
        security: known('faces'),
        params: byId('Of the folder'),
        response: { 200: Face, default: refusals },
      },
    },
    async (request) => faceOf(personFor(request), request.params.id),
  );

  area.post(
    '/faces/:id/consent',
    {
      schema: {
        operationId: 'consent',
        tags: ['Faces'],
        summary: 'Consent to photos',
        description:
          'Say so only for whoever is in the photos, or with their clear permission. It is recorded with the text.',
        security: known('faces'),
        params: byId('Of the folder'),
        body: NewConsent,
        response: { 200: Face, default: refusals },
      },
    },
    async (request) => {
      const actor = personFor(request);
      const { version, photos } = request.body;
      const { id } = await faceOf(actor, request.params.id);
      if (version !== CONSENT_VERSION) throw new ApiProblem('consent_version');
      await giveConsent(actor, id, consentText(say), photos);
      return faceOf(actor, id);
    },
  );

  area.post(
    '/faces/:id/refuse',
    {
      schema: {
        operationId: 'refuseConsent',
        tags: ['Faces'],
        summary: 'Refuse consent',
        description: 'All photos without consent are deleted, and the folder with them if it has no others.',
        security: known('faces'),
        params: byId('Of the folder'),
        response: { 204: Gone, default: refusals },
      },
    },
    async (request, reply) => {
      const actor = personFor(request);
      const { id } = await faceOf(actor, request.params.id);
      await refuseConsent(actor, id);
      return reply.code(204).send();
    },
  );

  area.delete(
    '/faces/:id',
    {
      schema: {
        operationId: 'deleteFace',
        tags: ['Faces'],
        summary: 'Delete a face folder',
        description:
          'Withdraws the consent: all its photos are deleted, and what was to be drawn with them is not.',
        security: known('faces'),
        params: byId('Of the folder'),
        response: { 204: Gone, default: refusals },
      },
    },
    async (request, reply) => {
      const actor = personFor(request);
      const { name } = await faceOf(actor, request.params.id);
      await removeFolder(actor, name);
      return reply.code(204).send();
    },
  );
}
