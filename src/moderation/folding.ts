/** A text as the rules compare it: small letters, without what only disguises them. */

/** Letters that look like a–z and that Unicode's own decomposition leaves as they are: Cyrillic, Greek, Latin's own. */
const LOOKS_LIKE: ReadonlyMap<string, string> = new Map(
  [
    ['аɑαᴀ∂', 'a'],
    ['ʙвβьъ', 'b'],
    ['сᴄϲ¢ç', 'c'],
    ['ԁᴅđɗ', 'd'],
    ['еєεᴇə℮ɛ', 'e'],
    ['ғƒ', 'f'],
    ['ɢɡԍ', 'g'],
    ['һнʜɦ', 'h'],
    ['іıɪιӏɩ', 'i'],
    ['јᴊ', 'j'],
    ['кκᴋ', 'k'],
    ['ʟł', 'l'],
    ['мᴍ', 'm'],
    ['ɴпην', 'n'],
    ['оοσᴏøө', 'o'],
    ['рρᴘþ', 'p'],
    ['ԛ', 'q'],
    ['гʀ', 'r'],
    ['ѕꜱʂ', 's'],
    ['тτᴛ', 't'],
    ['υᴜʊц', 'u'],
    ['ѵᴠ', 'v'],
    ['ԝωᴡш', 'w'],
    ['хχ×', 'x'],
    ['уγʏ', 'y'],
    ['ᴢʐ', 'z'],
  ].flatMap(([letters, plain]) => [...letters!].map((letter) => [letter, plain!] as const)),
);
const INVISIBLE = /[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}]/u;

/**
 * Lower case, without accents and invisible characters, and with look-alikes as the letters that they look like.
 *
 * @param max characters of the folded text: ﷺ alone becomes eighteen
 * @returns null when it would be longer
 */
export function fold(text: string, max: number): string | null {
  let folded = '';
  let length = 0;
  for (const c of text.normalize('NFKD').toLowerCase()) {
    if (c > '\x7f' && INVISIBLE.test(c)) continue;
    if (++length > max) return null;
    folded += LOOKS_LIKE.get(c) ?? c;
  }
  return folded;
}
