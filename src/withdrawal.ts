/**
 * What follows when somebody takes their consent back, or removes a face folder. In one transaction the photos may not be used any
 * more, and what was to be drawn with them ends: what waits at once, what is being drawn at its next step. Tokens come back. Then
 * the photos are deleted.
 *
 * A picture that is finished at this very moment asks for the photos in its own transaction (`stayUsable`), and so does one that is
 * accepted: one of the two comes first. Workers forget the face within seconds (`services/worker/faces-in-memory.ts`).
 */
import { endWithFace } from './batches/ending.ts';
import { inTransaction } from './doors/db.ts';
import {
  deletePhotos,
  deleteWithFolders,
  getFolder,
  markWithdrawn,
  ownFolder,
  removeEmptyFolder,
} from './faces.ts';
import type { Actor } from './people/people.ts';

/**
 * These photos are deleted, and no picture is drawn with them any more. Returns how many.
 *
 * @param photoIds left out: all of the folder
 * @throws {UserError} `not_yours`, `gone`
 */
export async function withdrawConsent(
  actor: Actor,
  folderId: string,
  photoIds?: readonly string[],
): Promise<number> {
  await ownFolder(actor, folderId);
  const { ids, wake } = await inTransaction(async (tx) => {
    const withdrawn = await markWithdrawn(tx, actor, folderId, photoIds);
    // Also where photos are left: it was asked with all of them.
    const ended = withdrawn.length ? await endWithFace(tx, folderId, 'consent_withdrawn') : null;
    return { ids: withdrawn.map(({ id }) => id), wake: ended?.wake };
  });
  wake?.();
  await deleteWithFolders({ folderId, id: { in: ids } });
  return ids.length;
}

/** Nothing of the photos is left. @returns how many pictures were to be drawn with them. @throws {UserError} as `getFolder` */
export async function removeFolder(actor: Actor, name: string): Promise<number> {
  const { id } = await getFolder(actor.id, name);
  let ended = 0;
  // Repeated while photos are being added.
  do {
    const { count, wake } = await inTransaction(async (tx) => {
      await markWithdrawn(tx, actor, id);
      return endWithFace(tx, id, 'gone');
    });
    wake();
    ended += count;
    await deletePhotos({ folderId: id });
  } while (!(await removeEmptyFolder(id, actor)));
  return ended;
}
