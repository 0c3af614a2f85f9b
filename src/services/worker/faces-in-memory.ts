/** What a worker remembers of faces: nothing of one whose consent was withdrawn. */
import { usablePhotos } from '#src/faces.ts';
import type { Artist } from './artist.ts';

/** To be done again and again: nobody has to be told of a withdrawal, so nobody can miss it. */
export async function forgetWithdrawn(artist: Pick<Artist, 'faces' | 'forget'>): Promise<void> {
  const remembered = await artist.faces();
  if (!remembered.length) return;
  // While Postgres is away nobody knows who withdrew: all are forgotten, and read from their photos again.
  let usable = new Set<string>();
  try {
    usable = await usablePhotos(remembered);
  } finally {
    const withdrawn = remembered.filter((id) => !usable.has(id));
    if (withdrawn.length) await artist.forget(withdrawn);
  }
}
