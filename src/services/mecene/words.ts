/**
 * A person's words on their way to a model: data of bounded length, without anything that could be a mention, a link or
 * the end of the place they are quoted in.
 */

/** characters */
const WORDS_MAX = 200;

const MENTION = /<(?:@[!&]?|#|a?:\w+:|\/[\w -]+:|t:)[^<>\s]*>|@(?:everyone|here)\b/giu;
const LINK = /\b[a-z][a-z0-9+.-]*:\/\/\S*|\bwww\.\S*|\bdiscord\.(?:gg|com)\S*/giu;
/** Control and invisible characters, and all that is markup for Discord, for us or for prompt syntax. */
const MARKUP = /[^\p{L}\p{M}\p{N}\s.,;!?'’&-]+/gu;

/** One line of plain text, at most 200 characters; empty when nothing is left. */
export function cleanWords(text: string): string {
  const plain = text
    .normalize('NFKC')
    .replace(/[\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, '')
    .replace(LINK, ' ')
    .replace(MENTION, ' ')
    .replace(MARKUP, ' ');
  return cut(plain.replace(/\s+/gu, ' ').trim(), WORDS_MAX);
}

/** The first `max` characters, ending with a whole word where there is one. */
export function cut(text: string, max: number): string {
  const characters = [...text];
  if (characters.length <= max) return text;
  const head = characters.slice(0, max + 1).join('');
  const space = head.lastIndexOf(' ');
  return (space > 0 ? head.slice(0, space) : characters.slice(0, max).join('')).trim();
}
