/** Photos that are sent to the web: each is read as it comes in, so that never more than one of them is in memory undecoded. */
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { FaceFolder } from '#src/doors/db.ts';
import { explain, UserError } from '#src/errors.ts';
import { addPhotos } from '#src/faces.ts';
import { newFolderName } from '#src/folder-name.ts';
import type { Actor } from '#src/people/people.ts';
import { openPlaces } from '#src/places.ts';
import { message, sayIn } from '#src/say.ts';
import { OF_ONE_COMMAND, PHOTO_BYTES_MAX, type Photo, takeSentPhoto } from '#src/uploads/photos.ts';

/** bytes of a form with photos */
export const UPLOAD_MAX = OF_ONE_COMMAND * PHOTO_BYTES_MAX + 64 * 1024;
/** Uploads that come in at once in a process, and of one person: each has a photo in memory. */
const places = openPlaces({ each: 1, all: 4 });

/** Lets an area take forms with photos. */
export async function takeUploads(area: FastifyInstance): Promise<void> {
  await area.register(multipart, {
    limits: {
      fileSize: PHOTO_BYTES_MAX,
      files: OF_ONE_COMMAND,
      fields: 2,
      parts: OF_ONE_COMMAND + 2,
      fieldSize: 256,
      headerPairs: 20,
    },
  });
}

/** A form with photos, as it was sent. */
export interface Upload {
  readonly name: string;
  readonly photos: readonly Photo[];
  /** what is wrong with photos, a sentence each */
  readonly faults: readonly string[];
}

/**
 * Reads a form with photos as it comes in, one after another: never more than one of them is in memory undecoded.
 *
 * @returns what is wrong with each photo, too
 * @throws {UserError} `turns_taken`, `crowded` before anything is read
 */
export async function readUpload(request: FastifyRequest, userId: string): Promise<Upload> {
  const full = places.take(userId);
  if (full === 'each') throw new UserError('turns_taken', { what: message('uploads'), max: 1 });
  if (full === 'all') throw new UserError('crowded', {});
  const photos: Photo[] = [];
  const faults: string[] = [];
  let name = '';
  try {
    for await (const part of request.parts()) {
      if (part.type === 'field') {
        if (part.fieldname === 'name' && typeof part.value === 'string') name = part.value.trim();
        continue;
      }
      const bytes = await part.toBuffer();
      if (!bytes.length) continue; // a field that was left empty
      try {
        photos.push(await takeSentPhoto(userId, bytes, part.filename || 'photo'));
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        faults.push(explain(sayIn('en'), error));
      }
    }
    return { name, photos, faults };
  } finally {
    places.leave(userId);
  }
}

/**
 * Has a worker look at the photos, as those of a face folder.
 *
 * @throws {UserError} `plan_faults` of photos, `upload_missing`, and as `addPhotos`
 */
export async function keepUpload(actor: Actor, { name, photos, faults }: Upload): Promise<FaceFolder> {
  if (faults.length) throw new UserError('plan_faults', { faults: [...new Set(faults)] });
  newFolderName(name);
  if (!photos.length) throw new UserError('upload_missing', {});
  const { folder } = await addPhotos(actor, name, photos);
  return folder;
}
