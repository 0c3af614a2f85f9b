/** CLIP's own vocabulary, as both of SDXL's tokenizers have it: unpacked from its list of merges. */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { byteAlphabet } from '../sdxl/tokenizer.ts';

export interface ClipVocabulary {
  /** token → id */
  readonly vocabulary: Readonly<Record<string, number>>;
  /** `merges.txt`, as it is */
  readonly merges: string;
}

/** CLIP's vocabulary follows from its merges: bytes, bytes that end a word, merged pairs in order, two specials. */
export async function clipVocabulary(): Promise<ClipVocabulary> {
  const packed = await readFile(new URL('./clip-merges.txt.gz', import.meta.url));
  const merges = gunzipSync(packed).toString('utf8');
  const pairs = merges.split('\n').filter((line) => line && !line.startsWith('#version'));
  // CLIP lists printable bytes first, then the others in the order they were given characters.
  const characters = byteAlphabet().toCharacter.sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  const tokens = [
    ...characters,
    ...characters.map((character) => `${character}</w>`),
    ...pairs.map((pair) => pair.replace(' ', '')),
    '<|startoftext|>',
    '<|endoftext|>',
  ];
  return { vocabulary: Object.fromEntries(tokens.map((token, id) => [token, id])), merges };
}
