/** Ways to disguise a word, each as somebody would who wants a rule not to see it. Pure: the same number, the same disguise. */

/** 0 ≤ … < 1 */
export type Random = () => number;
export type Disguise = (phrase: string, random: Random) => string;

const pick = <T>(from: readonly T[], random: Random): T => from[Math.floor(random() * from.length)]!;
const eachLetter =
  (change: (letter: string, random: Random) => string): Disguise =>
  (phrase, random) =>
    [...phrase].map((letter) => (letter === ' ' ? ' ' : change(letter, random))).join('');
const byTable = (table: string, share = 1): Disguise => {
  const letters = [...table];
  return eachLetter((letter, random) =>
    random() <= share ? (letters[letter.charCodeAt(0) - 97] ?? letter) : letter,
  );
};
/** Puts something between letters of a word, at one place or more. */
const between =
  (what: readonly string[], share: number): Disguise =>
  (phrase, random) =>
    phrase
      .split(' ')
      .map((word) => {
        const letters = [...word];
        const must = 1 + Math.floor(random() * (letters.length - 1));
        return letters
          .map((letter, i) =>
            i > 0 && (i === must || random() < share) ? pick(what, random) + letter : letter,
          )
          .join('');
      })
      .join(' ');
/** Of a phrase, in its longest word. */
const inLongest =
  (change: (word: string, random: Random) => string): Disguise =>
  (phrase, random) => {
    const words = phrase.split(' ');
    const longest = words.reduce((a, b) => (b.length > a.length ? b : a));
    const at = words.indexOf(longest);
    return words.map((word, i) => (i === at ? change(word, random) : word)).join(' ');
  };
const place = (word: string, random: Random) => 1 + Math.floor(random() * (word.length - 2));
const letter = (random: Random) => String.fromCharCode(97 + Math.floor(random() * 26));
const leet: Readonly<Record<string, readonly string[]>> = {
  a: ['4', '@'],
  b: ['8'],
  e: ['3', '€'],
  g: ['9', '6'],
  i: ['1', '!', '|'],
  l: ['1', '|'],
  o: ['0'],
  s: ['5', '$'],
  t: ['7', '+'],
  z: ['2'],
};
const LIKE_CYRILLIC: Readonly<Record<string, string>> = {
  a: 'а',
  c: 'с',
  e: 'е',
  i: 'і',
  j: 'ј',
  o: 'о',
  p: 'р',
  s: 'ѕ',
  x: 'х',
  y: 'у',
  h: 'һ',
  k: 'к',
  m: 'м',
  n: 'п',
  r: 'г',
  t: 'т',
  b: 'ь',
  d: 'ԁ',
  w: 'ԝ',
};
const LIKE_GREEK: Readonly<Record<string, string>> = {
  a: 'α',
  b: 'β',
  e: 'ε',
  i: 'ι',
  k: 'κ',
  n: 'η',
  o: 'ο',
  p: 'ρ',
  t: 'τ',
  u: 'υ',
  v: 'ν',
  x: 'χ',
  y: 'γ',
  w: 'ω',
};
const SOUNDS_CYRILLIC: Readonly<Record<string, string>> = {
  a: 'а',
  b: 'б',
  c: 'к',
  d: 'д',
  e: 'е',
  f: 'ф',
  g: 'г',
  h: 'х',
  i: 'и',
  j: 'ж',
  k: 'к',
  l: 'л',
  m: 'м',
  n: 'н',
  o: 'о',
  p: 'п',
  r: 'р',
  s: 'с',
  t: 'т',
  u: 'у',
  v: 'в',
  w: 'в',
  x: 'кс',
  y: 'ы',
  z: 'з',
};
const some =
  (table: Readonly<Record<string, string>>): Disguise =>
  (phrase, random) => {
    const letters = [...phrase];
    const can = letters.flatMap((one, i) => (table[one] ? [i] : []));
    const must = pick(can, random);
    return letters.map((one, i) => (i === must || random() < 0.6 ? (table[one] ?? one) : one)).join('');
  };
const FANCY = [
  'ᗩᗷᑕᗪEᖴGᕼIᒍKᒪᗰᑎOᑭᑫᖇᔕTᑌᐯᗯ᙭Yᘔ',
  'ᏗᏰፈᎴᏋᎦᎶᏂᎥᏠᏦᏝᎷᏁᎧᎮᎤᏒᏕᏖᏬᏉᏇጀᎩፚ',
  'ค๒ς๔єŦﻮђเןкɭ๓ภ๏קợгรtยשฬאץz',
  'αႦƈԃҽϝɠԋιʝƙʅɱɳσρϙɾʂƚυʋɯxყȥ',
  'ǟɮƈɖɛʄɢɦɨʝӄʟʍռօքզʀֆȶʊʋաӼʏʐ',
  '卂乃匚ᗪ乇千Ꮆ卄丨ﾌҜㄥ爪几ㄖ卩Ɋ尺丂ㄒㄩᐯ山乂ㄚ乙',
  '₳฿₵ĐɆ₣₲ⱧłJ₭Ⱡ₥₦Ø₱QⱤ₴₮ɄV₩ӾɎⱫ',
  'ꍏꌃꉓꀸꍟꎇꁅꃅꀤꀭꀘ꒒ꂵꈤꂦꉣꆰꋪꌗ꓄ꀎꃴꅏꊼꌩꁴ',
];
const UPSIDE_DOWN = 'ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz';
const offset = (from: number) => eachLetter((c) => String.fromCodePoint(from + c.charCodeAt(0) - 97));

/** The 18 classes of an evasion that every letter survives, or (`lost`) one does not. */
export const disguises: Readonly<
  Record<
    string,
    {
      readonly disguise: Disguise;
      readonly lost?: true;
      readonly minLetters?: number;
      readonly phrases?: true;
      readonly oneWord?: true;
    }
  >
> = {
  plain: { disguise: (phrase) => phrase },
  'upper case': { disguise: (phrase) => phrase.toUpperCase() },
  leet: {
    disguise: (phrase, random) => {
      const letters = [...phrase];
      const can = letters.flatMap((one, i) => (leet[one] ? [i] : []));
      const must = can.length ? pick(can, random) : -1;
      return letters
        .map((one, i) => (leet[one] && (i === must || random() < 0.5) ? pick(leet[one], random) : one))
        .join('');
    },
  },
  Cyrillic: { disguise: some(LIKE_CYRILLIC) },
  'full width': { disguise: offset(0xff41) },
  accents: {
    disguise: eachLetter((c, random) =>
      (c + pick(['\u0301', '\u0300', '\u0308', '\u0302', '\u0303'], random)).normalize('NFC'),
    ),
  },
  'small capitals': { disguise: byTable('ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡxʏᴢ') },
  'mathematical bold': {
    disguise: (phrase, random) =>
      offset(pick([0x1d41a, 0x1d468 + 26, 0x1d5ee, 0x1d68a, 0x1d4ea, 0x1d586], random))(phrase, random),
  },
  'doubled letters': { disguise: eachLetter((c, random) => c.repeat(1 + Math.floor(random() * 3))) },
  'zero width': { disguise: between(['\u200b', '\u200c', '\u200d', '\u2060', '\ufeff'], 0.4) },
  'combining marks': {
    disguise: eachLetter((c, random) => c + pick(['\u0336', '\u0337', '\u0335', '\u035c', '\u0489'], random)),
  },
  spaced: { disguise: (phrase) => [...phrase.replaceAll(' ', '')].join(' ') },
  dotted: {
    disguise: (phrase, random) =>
      phrase
        .split(' ')
        .map((word) => [...word].join(pick(['.', '-', '_', '·', '*'], random)))
        .join(' '),
  },
  'soft hyphens': { disguise: between(['\u00ad'], 0.4) },
  tags: { disguise: between(['\u{e0061}', '\u{e0065}', '\u{e0020}'], 0.4) },
  'right to left': { disguise: (phrase) => `\u202e${[...phrase].reverse().join('')}\u202c` },
  swapped: {
    lost: true,
    minLetters: 6,
    disguise: inLongest((word, random) => {
      const i = place(word, random);
      return word.slice(0, i) + word[i + 1] + word[i] + word.slice(i + 2);
    }),
  },
  dropped: {
    lost: true,
    minLetters: 6,
    disguise: inLongest((word, random) => {
      const i = place(word, random);
      return word.slice(0, i) + word.slice(i + 1);
    }),
  },
  // … and what else was seen.
  added: {
    lost: true,
    minLetters: 6,
    disguise: inLongest((word, random) => {
      const i = place(word, random);
      return word.slice(0, i) + letter(random) + word.slice(i);
    }),
  },
  exchanged: {
    lost: true,
    minLetters: 6,
    disguise: inLongest((word, random) => {
      const i = place(word, random);
      return word.slice(0, i) + letter(random) + word.slice(i + 1);
    }),
  },
  Greek: { disguise: some(LIKE_GREEK) },
  circled: { disguise: offset(0x24d0) },
  'fancy alphabets': { disguise: (phrase, random) => byTable(pick(FANCY, random))(phrase, random) },
  'emoji letters': {
    disguise: (phrase, random) => offset(pick([0x1f1e6, 0x1f170, 0x1f150, 0x1f130], random))(phrase, random),
  },
  'upside down': {
    disguise: (phrase, random) => [...byTable(UPSIDE_DOWN)(phrase, random)].reverse().join(''),
  },
  backwards: { oneWord: true, minLetters: 4, disguise: (phrase) => [...phrase].reverse().join('') },
  'other scripts': {
    oneWord: true,
    minLetters: 4,
    disguise: (phrase) =>
      phrase
        .replaceAll('ch', 'ч')
        .replaceAll('sh', 'ш')
        .replace(/./gu, (c) => SOUNDS_CYRILLIC[c] ?? c),
  },
  'split by a sign': {
    disguise: between(['-', '_', '.', '/', '|', '*', '~', '+', '·', ',', ':', '"', '(', ')'], 0),
  },
  'split by a space': {
    disguise: inLongest((word, random) =>
      `${word.slice(0, place(word, random))} ${word}`.replace(
        /^(\S+) (.*)$/,
        (_, head: string, all: string) => `${head} ${all.slice(head.length)}`,
      ),
    ),
  },
  weights: {
    disguise: (phrase, random) => {
      const i = 1 + Math.floor(random() * (phrase.length - 1));
      const [head, tail] = [phrase.slice(0, i), phrase.slice(i)];
      return pick(
        [
          `(${phrase}:1.3)`,
          `((${phrase}))`,
          `[${phrase}]`,
          `{{${phrase}}}`,
          `(${head}:1.2)${tail}`,
          `(${head})(${tail}:1.4)`,
          `[${head}]${tail}`,
          `${phrase}++`,
          `${phrase}:1.5`,
          `<${phrase}>`,
          `(${head}:1.1)(${tail}:0.9)`,
        ],
        random,
      );
    },
  },
  endings: {
    oneWord: true,
    minLetters: 4,
    disguise: (word, random) =>
      word + pick(['s', 'ed', 'ing', 'er', 'y', 'ish', 'ly', 'ness', 'z', 'ist'], random),
  },
  glued: {
    minLetters: 4,
    disguise: (phrase, random) =>
      pick(
        [
          `woman${phrase.replaceAll(' ', '')}`,
          `${phrase.replaceAll(' ', '')}woman`,
          `very${phrase.replaceAll(' ', '')}`,
          `hot${phrase.replaceAll(' ', '')}photo`,
          `${phrase.replaceAll(' ', '')}portrait`,
        ],
        random,
      ),
  },
  entities: {
    disguise: eachLetter((c, random) =>
      random() < 0.7 ? pick([`&#${c.charCodeAt(0)};`, `&#x${c.charCodeAt(0).toString(16)};`], random) : c,
    ),
  },
  'percent codes': {
    disguise: eachLetter((c, random) => (random() < 0.8 ? `%${c.charCodeAt(0).toString(16)}` : c)),
  },
  fillers: {
    phrases: true,
    disguise: (phrase, random) =>
      phrase
        .split(' ')
        .map((word, i) =>
          i === 1
            ? `${pick(['very', 'really', 'um', 'the', 'so', 'just', 'totally'], random)} ${word}`
            : word,
        )
        .join(' '),
  },
};
