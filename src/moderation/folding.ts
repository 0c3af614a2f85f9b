/**
 * A text as the rules compare it: small letters, without what only disguises them. One that can be read in several ways has several
 * readings: as it looks, as it sounds in Latin letters, with its escapes written out, turned upside down.
 */
import anyAscii from 'any-ascii';
import { decodeHTML } from 'entities';
import skeletonOf from 'unhomoglyph';

/**
 * Letters that stand for a–z in the alphabets of "fancy text" and of the scripts that look like ours, where neither Unicode's
 * decomposition nor its table of confusable characters (UTS #39) takes them for the same.
 */
const LOOKS_LIKE: ReadonlyMap<string, string> = new Map(
  Object.entries({
    a: 'ƛδλдձคმልᕱᗩᥲ∀ム卂ꁲꋬꍏꪖꫝꭺꭿꮧ𐌀',
    b: 'ßþƅɮβбвъьѣҍյ๒๖ჩცጌᏸᏼᑳᑾᑿᒀᒁᒂᒈᔎᕹᕺᖚᗸᗹᗽᗾᗿᙖᙗᙘᙝᙞᙟᙠ᥇ⴆ乃ꃃꃳꌃꮟ',
    c: '©ɔʗͼςϛҁҫշᄃርፈᑕᑖᑡᑢᑣᑤᑥᑦᒼᔍᙅᥴ↻☾匚ꇃꉓꉔ꒝',
    d: 'ԃժ๔ዕᑰᑱᑺᑻᑼᑽᒄᕲᗟᗠᗡᗫᗬᦔↁりꀸꂡ꒯ꭰꮄꮷ𐌃',
    e: 'εξэєҿԑቿᕮᘿᥱ乇ꍟꏂꏹꫀꭼꮛ𐌄',
    f: 'ŧʃʄϝғբቻᠻ∱キ千ꄙꊰꎇꭶꮁ𐌅',
    g: 'ԍوኗᏻᏽᘜᧁꁅꁍꍌꮆꮐ',
    h: 'ƕɥнђңҥӈӊԋիከኩኪካዘዞᑋᗁ♓ⲏん卄ꀍꁝꃅꮋꮒ𐋅',
    i: 'łเጎᑊᓰ│ノ丨ꀤ꒐꠸ꮖ',
    j: 'ʆʖןנวๅጋᒎᒏᒘᒙᒚᒛᒴᒵⴑフꀭ꒻꠹ꭻꮰ',
    k: 'ĸκϗкқҝҟҡӄጕⲕスズꀘꈵꮶ𐌊',
    l: 'ɩʅӏլնւᄂረᒫᒶᒷᒸᒹᒺᒻᥣ⎳└ⳑレㄥ꒒ꓶꪶꮭꮮ𐌋',
    m: 'ʍμϻмӎ๓ოᄊጠᘻᙏᙢ♏ⲙ爪ꂵꪑꭑꮇ𐌌',
    n: 'ŋηπилпћҋԉդղกทภበቡቢባቤብቦክᑎᘉᥒᴒᴨ∩ⲛ几刀ꈤꋊꪀꮑ𐌍',
    o: '¤ʘθφфѳѻөծփ๏ᐤᓍ᥆⊕⊖⊝⍜⍤⍥⎔⎕◊○◯❍❤⦰⦱⦲⦳⦴⦵⦶⦷⦸⦹⦺⦻⦼⦽⦾⦿⧀⧁⧂⧃のㄖꁏꂦꄲꝋꪮꭷꮎ',
    p: 'ƿҏրքקየᑬᑮᑶᑷᑸᑹᕵᴩ℗ア卩ꉣꝓꭾꮲ𐌐',
    q: 'ϙዒᑫᕴゐꆰꝗꪇꭴ𐌒',
    r: 'яґཞዪ᥅℞尺ꋪꭱꮢ𐌓',
    s: 'ƨտֆรነᔕᔖᔡᔢᔣᔤᦓ₴丂ꇙꌗꮥ𐌔',
    t: 'ƚɬτϯтҭեէጥፕᐪᖶ⊥⏇⏉ⲧイㄒ꓄꓅ꪻꭲꮦ',
    u: 'цմนยሁᑗᑘᑧᘮᙀᥙひㄩꀎꌈ꒤ꓵꪊꮼ𐌵',
    v: 'ʋשงሀᐺᐻᕓᘁ√ꃴ꒦ꝟꪜꮙ',
    w: 'ωшщѿฝฬሠᗯᘺᙎᙡᥕ᭙⍵山ꅏꅐꮗꮤ',
    x: 'χжҳӽӿאჯሸጀ᥊❌ⲭメ乂ꉧꊼꋋ𐋄',
    y: 'ϥчұվץሃᖻⲩリㄚꌥꌦꌩꪗꭹꮍ𐌙',
    z: 'ζзጊፚᗱᘔᙆ乙ꁴ꒗',
  }).flatMap(([plain, letters]) => [...letters].map((letter) => [letter, plain] as const)),
);
/** Pictures that stand for a word. */
const EMOJI: ReadonlyMap<string, string> = new Map([
  ['🔞', ' nsfw '],
  ['👶', ' baby '],
  ['🧒', ' child '],
  ['👧', ' girl '],
  ['👦', ' boy '],
]);
/** a–z, as they look upside down. */
const UPSIDE_DOWN = 'ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz';
const TURNED: ReadonlyMap<string, string> = new Map([
  ...[...UPSIDE_DOWN].map((letter, i) => [letter, String.fromCharCode(97 + i)] as const),
  ...[...'ıᴚⱯꓭƆꓷƎℲ⅁ſ⅂ꓤꓕ∩ΛɅ⅄Ԁפ˥ꞁᵷⅎᴟ'].map(
    (letter, i) => [letter, 'iraabcdefgjlrtuvvypgllgfm'[i] ?? letter] as const,
  ),
]);
const IS_TURNED = /[ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎᴚⱯꓭƆꓷƎℲ⅁⅂ꓤꓕ⅄]/u;
/** Everything but the marks of kana: without those, other words are meant. */
const INVISIBLE = /(?![\u3099\u309a])[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}]+/gu;
/** Letters of scripts with sounds of their own. */
const FOREIGN = /[^\P{L}\p{Script=Latin}\p{Script=Han}\p{Script=Hangul}]/u;
const HAN = /[\p{Script=Han}\p{Script=Hangul}]/u;
const ASCII = /^\p{ASCII}*$/u;
const ESCAPE =
  /%([2-7][0-9a-f])|\\u\{?([0-9a-f]{2,6})\}?|\\x([0-9a-f]{2})|:regional_indicator_([a-z]):|(?:u\+|0x)([0-9a-f]{2,6})\b[ ;,]?/gi;

/**
 * One way to read a text: as it `looks`; as it is when `turned`, where most words are none; as what is not Latin `sounds`, in the spelling
 * of `soundOf`.
 */
export interface Folded {
  readonly text: string;
  readonly way: 'looks' | 'turned' | 'sounds';
}

/**
 * @param max characters of a reading: ﷺ alone becomes eighteen
 * @returns as it looks comes first; null when a reading would be longer
 */
export function fold(text: string, max: number): Folded[] | null {
  const found = new Map<string, Folded['way']>();
  const read = (reading: string, way: Folded['way']) => {
    if (!found.has(reading)) found.set(reading, way);
  };
  const plain = unembedded(untagged(unescaped(text)));
  for (const written of new Set([text, plain])) {
    const looks = asItLooks(written, max);
    if (looks === null) return null;
    read(looks, 'looks');
  }
  // A syllable sounds like two letters or three; a prompt that is one letter after the other needs no more.
  if (FOREIGN.test(plain)) read(asItSounds(plain, max / 2), 'sounds');
  if (IS_TURNED.test(plain)) {
    const turned = [...plain.toLowerCase()].reverse().map((c) => TURNED.get(c) ?? c);
    read(turned.join('').slice(0, max), 'turned');
  }
  return [...found].map(([reading, way]) => ({ text: reading, way }));
}

/** What fold(…) makes of the text as it looks, which is what words of the rules are compared by. */
export function asItLooks(text: string, max = Number.POSITIVE_INFINITY): string | null {
  const lower = text.toLowerCase();
  if (ASCII.test(lower)) return lower.length > max ? null : lower;
  let folded = '';
  let length = 0;
  for (const c of lower.normalize('NFKD').toLowerCase().replace(INVISIBLE, '').normalize('NFC')) {
    if (++length > max) return null;
    folded += c > '\x7f' ? lookOf(c) : c;
  }
  return folded;
}

const looks = new Map<string, string>();
function lookOf(c: string): string {
  const known = looks.get(c);
  if (known !== undefined) return known;
  const look =
    EMOJI.get(c) ??
    LOOKS_LIKE.get(c) ??
    (/\p{Nd}/u.test(c) ? anyAscii(c) : undefined) ??
    likeAscii(skeletonOf(c)) ??
    (/[\p{Script=Latin}\p{S}]/u.test(c) && likeAscii(anyAscii(c))) ??
    c;
  // Every character there is would fit; a prompt has a thousand.
  looks.set(c, look || c);
  return look || c;
}

/** One letter or digit; UTS #39 writes m as rn. */
function likeAscii(text: string): string | undefined {
  const letter = text.toLowerCase().replace(/^rn$/, 'm');
  return /^[a-z0-9]$/.test(letter) ? letter : undefined;
}

/** Words that are not Latin, in Latin letters. Han and Hangul stay: their syllables make words of any language by chance. */
function asItSounds(text: string, max: number): string {
  let sounds = '';
  for (const [word] of text.normalize('NFKC').matchAll(/\S+/g)) {
    if (sounds.length >= max) break;
    if (!FOREIGN.test(word)) continue;
    sounds += ' ';
    for (const c of word) sounds += c > '\x7f' && !HAN.test(c) ? anyAscii(c) : c;
  }
  return soundOf(sounds.toLowerCase()).slice(0, max);
}

/** Letters that other scripts do not tell apart are the same. */
export function soundOf(latin: string): string {
  return latin.replace(/pkh|kh|ck|ph|zh|[cqwxyj](?!h)/g, (letters) => SOUNDS[letters] ?? letters);
}
const SOUNDS: Readonly<Record<string, string>> = {
  pkh: 'f',
  kh: 'h',
  zh: 'i',
  ck: 'k',
  ph: 'f',
  c: 'k',
  q: 'k',
  w: 'v',
  x: 'ks',
  y: 'i',
  j: 'i',
};

/** `&#110;`, `%6e`, `\u006e` and Discord's name of a letter's emoji, written out; twice, as they can be nested. */
function unescaped(text: string): string {
  let plain = text;
  for (let round = 0; round < 2 && /[&%\\:+]|0x/i.test(plain); round++) {
    plain = decodeHTML(plain).replace(ESCAPE, (all, percent, unicode, hex, letter, code) => {
      if (letter) return letter;
      const point = Number.parseInt(percent ?? unicode ?? hex ?? code, 16);
      return point > 0x1f && point < 0x110000 && !(point >= 0xd800 && point < 0xe000)
        ? String.fromCodePoint(point)
        : all;
    });
  }
  return plain;
}

/** Tags are invisible, and each stands for an ASCII character. */
function untagged(text: string): string {
  return text.replace(/[\u{e0020}-\u{e007e}]/gu, (tag) => String.fromCharCode(tag.codePointAt(0)! - 0xe0000));
}

/** As it is shown where an override turns the direction of letters. */
function unembedded(text: string): string {
  return text.replace(/[\u202e\u202b\u2067]([^\u202c\u2069\u202d\u202a\u2066]*)/gu, (_, inner: string) =>
    [...inner].reverse().join(''),
  );
}
