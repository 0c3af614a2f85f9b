/**
 * The detector, for everybody: whether a file has marks, and whose. What it says is of the file alone; of a picture that was drawn here
 * nobody hears more than the gallery shows anyway.
 */
import { type PublishedPicture, publishedByMark } from '#src/gallery.ts';
import { message } from '#src/say.ts';
import { takeTurns } from '#src/turns.ts';
import { type Limits, readApart } from '#src/uploads/apart.ts';
import { fetchUpload, type Upload } from '#src/uploads/fetch.ts';
import { PHOTO_BYTES_MAX, refused } from '#src/uploads/photos.ts';
import { identity, ourAuthorities } from './installation.ts';
import { Look, type Seen } from './look.ts';

/** What is told of a file. */
export interface Finding extends Pick<Seen, 'claim' | 'below' | 'written'> {
  /** of its pixels; null: none was found */
  readonly watermark: Watermark | null;
}

export interface Watermark {
  /** 0…65,535 */
  readonly installation: number;
  /** it is this installation's */
  readonly isOurs: boolean;
  /** the last digits of its generation's id, nine */
  readonly digits: string;
  /** public pictures that it may be of: those with these digits */
  readonly pictures: readonly PublishedPicture[];
}

/** Bytes of a file that is looked at. */
export const FILE_BYTES_MAX = PHOTO_BYTES_MAX;
/** As of photos, and what C2PA's reader and the search for a watermark take beside them. */
const LIMITS: Limits = { memory: 768, withinMs: 30_000 };
const LOOKER = new URL('./look-process.ts', import.meta.url);
const ANSWER_MAX = 64 * 1024;

/** One at a time in a process: it takes seconds of a core, which others' pictures and answers need. */
const turns = takeTurns({
  inAll: 8,
  each: 1,
  who: message('The detector'),
  what: message('pictures'),
});

/**
 * Fetches a file from Discord when its turn comes, and looks at it.
 *
 * @throws {UserError} as `fetchUpload` and `detect`
 */
export function detectUpload(personId: string, upload: Upload): Promise<Finding> {
  return turns(personId, async () => find(await fetchUpload(upload, FILE_BYTES_MAX), upload.name));
}

/**
 * @param who  of a person, or where a visitor comes from: each has one looked at at a time
 * @param file its name
 * @throws {UserError} `turns_taken`, `busy`, `upload_not_image`, `upload_pixels`, `upload_heavy`
 */
export function detect(who: string, bytes: Buffer, file: string): Promise<Finding> {
  return turns(who, () => find(bytes, file));
}

async function find(bytes: Buffer, file: string): Promise<Finding> {
  const [{ installation }, authorities] = await Promise.all([identity(), ourAuthorities()]);
  const said = await readApart(LOOKER, [authorities.join('\n')], bytes, file, LIMITS, ANSWER_MAX);
  const seen = Look.parse(JSON.parse(said.toString()));
  if ('why' in seen) throw refused(seen, file);
  const { mark, ...others } = seen;
  if (!mark) return { ...others, watermark: null };
  const isOurs = mark.installation === installation;
  const pictures = isOurs ? await publishedByMark(mark.generation) : [];
  const { installation: of, generation: digits } = mark;
  return { ...others, watermark: { installation: of, isOurs, digits, pictures } };
}
