/** What the thread that draws remembers of faces, on a line to Postgres that is cut. */
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import type { Actor } from '#src/people/people.ts';
import { type Artist, startArtist } from '#src/services/worker/artist.ts';
import { GENERATION, testIdentity } from '#test/support/identity.ts';
import { type Line, lineTo } from '#test/support/line.ts';
import { portraitRequest } from '#test/support/portrait-request.ts';
import { portraitPhoto } from '#test/support/portraits.ts';
import { actor } from '#test/support/requests.ts';
import { usualPlace } from '#test/support/where.ts';

let line: Line;
let artist: Artist;
beforeAll(async () => {
  line = await lineTo(process.env.DATABASE_URL!);
  process.env.DATABASE_URL = line.url; // of the modules that are imported below
  artist = await startArtist(inject('bundleDir'), {
    identity: testIdentity,
    threads: 1,
    providers: ['cpu'],
  });
});
afterAll(async () => {
  line.mend();
  await artist.close();
  await (await import('#src/doors/db.ts')).closeDb();
  await line.close();
});

/** Somebody's folder with a photo that may be used, and a picture drawn with it. */
async function drawnFace(person: Actor, name: string, number: number) {
  const faces = await import('#src/faces.ts');
  const { readPhoto } = await import('#src/uploads/photos.ts');
  const photo = await readPhoto(await portraitPhoto(number), 'a.png');
  const { folder, ids } = await faces.addPhotos(person, name, [photo]);
  await faces.finishFaceCheck(ids[0]!, 1);
  await faces.giveConsent(person, folder.id, 'I agree');
  const face = await faces.faceIn(folder.id);
  const { face: _, ...request } = portraitRequest('portrait of a woman', { steps: 1, detailSteps: 1 });
  await artist.draw(request, face, [], {
    where: usualPlace,
    generationId: GENERATION,
    signal: new AbortController().signal,
    onProgress() {},
  });
  return { folder, ids };
}

it('forgets a face that was taken back, and no other; and all of them while it cannot ask', async () => {
  const { forgetWithdrawn } = await import('#src/services/worker/faces-in-memory.ts');
  const { removeFolder } = await import('#src/withdrawal.ts');
  const person = actor();
  const one = await drawnFace(person, 'one', 0);
  const other = await drawnFace(person, 'other', 2);
  await forgetWithdrawn(artist);
  expect(await artist.faces()).toEqual([...one.ids, ...other.ids]);

  await removeFolder(person, 'one');
  await forgetWithdrawn(artist);
  expect(await artist.faces()).toEqual(other.ids);

  line.cut();
  await expect(forgetWithdrawn(artist)).rejects.toThrow();
  expect(await artist.faces()).toEqual([]);
}, 180_000);
