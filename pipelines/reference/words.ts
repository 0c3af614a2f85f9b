/**
 * What words mean in the small world: each is a few features. A colour binds to the noun behind it, so that "red hair, blue
 * background" is not "blue hair, red background".
 */
import type { Rgb } from './algebra.ts';

/** Nouns that take a colour. */
export const nouns = ['hair', 'background', 'eyes', 'clothes', 'hat', 'lips'] as const;
export type Noun = (typeof nouns)[number];

/** Features that a word gives by itself, 0…1 or −1…1. */
export const traits = [
  'male',
  'female',
  'old',
  'child',
  'smile',
  'glasses',
  'beard',
  'hat',
  'earrings',
  'freckles',
  'collar',
  'scarf',
  'short',
  'long',
  'curly',
  'bob',
  'bald',
  'bun',
  'forest',
  'sea',
  'city',
  'sunset',
  'night',
  'garden',
  'snow',
  'mountain',
  'desert',
  'checkered',
  'studio',
  'space',
  'pastel',
  'noir',
  'warm',
  'cool',
  'neon',
  'dark',
  'bright',
  'empty',
] as const;
export type Trait = (typeof traits)[number];

/** `rrggbb` as 0…1 */
export const hex = (value: string): Rgb =>
  [0, 2, 4].map((at) => Number.parseInt(value.slice(at, at + 2), 16) / 255) as unknown as Rgb;

/** word → colour, sRGB 0…1 */
export const colours: Readonly<Record<string, Rgb>> = Object.fromEntries(
  Object.entries({
    red: 'c8372d',
    crimson: 'a61e2e',
    scarlet: 'd43a2a',
    ruby: 'a11d3c',
    pink: 'ea8fb0',
    rose: 'd9748f',
    magenta: 'c2308f',
    orange: 'e2782e',
    copper: 'b5602f',
    ginger: 'c2622d',
    amber: 'e0a030',
    yellow: 'ecc63f',
    gold: 'd8a93a',
    golden: 'd8a93a',
    green: '3f8f57',
    emerald: '1f7f58',
    mint: '9ad8bd',
    olive: '7a7d3a',
    lime: '9ccc3d',
    teal: '23827f',
    turquoise: '43b9b5',
    blue: '3566b5',
    navy: '24386b',
    azure: '5a9bdc',
    cyan: '45bcd4',
    indigo: '41409a',
    sapphire: '234f9f',
    sky: '8fc3ea',
    purple: '7a4aa5',
    violet: '8558b8',
    lavender: 'b7a2dc',
    lilac: 'c4a9d9',
    plum: '6d3561',
    brown: '6b4430',
    chestnut: '7a452c',
    auburn: '8a3d24',
    hazel: '8a6a36',
    beige: 'd8c3a0',
    tan: 'c39a6b',
    bronze: '9c6a35',
    black: '1c1b22',
    dark: '2b2a33',
    charcoal: '37383f',
    grey: '8b8f98',
    gray: '8b8f98',
    silver: 'bcc2cb',
    white: 'f1efe9',
    platinum: 'e6dfc8',
    blond: 'd9b469',
    blonde: 'd9b469',
    cream: 'efe3c8',
    ivory: 'f3ecdc',
    peach: 'f0b595',
    coral: 'e8735f',
  }).map(([word, value]) => [word, hex(value)]),
);

const nounWords: Readonly<Record<Noun, string>> = {
  hair: 'hair haired curls locks braids ponytail',
  background: 'background backdrop wall sky',
  eyes: 'eyes eyed eye',
  clothes:
    'shirt dress jacket coat suit sweater hoodie blouse kimono robe clothes clothing armor armour scarf top gown uniform cloak turtleneck vest tunic cardigan cape',
  hat: 'hat cap beret beanie hood turban',
  lips: 'lips lipstick mouth',
};

/** word → noun */
export const nounOf: ReadonlyMap<string, Noun> = new Map(
  nouns.flatMap((noun) => nounWords[noun].split(' ').map((word) => [word, noun] as const)),
);

const traitWords: Readonly<Record<Trait, string>> = {
  male: 'man boy male gentleman guy king prince father grandfather wizard knight sailor husband actor samurai',
  female: 'woman girl female lady queen princess mother grandmother witch actress wife ballerina empress',
  old: 'old elderly aged grandfather grandmother wise ancient senior',
  child: 'young youthful',
  smile: 'smiling smile happy joyful cheerful laughing grinning delighted friendly warm',
  glasses: 'glasses spectacles eyeglasses goggles',
  beard: 'beard bearded moustache stubble whiskers',
  hat: 'hat cap beret beanie hood turban helmet crown',
  earrings: 'earrings earring jewelry jewels pearls',
  freckles: 'freckles freckled',
  collar: 'suit jacket coat shirt blouse uniform collar tuxedo',
  scarf: 'scarf turtleneck shawl',
  short: 'short cropped buzzcut pixie',
  long: 'long flowing braids ponytail straight',
  curly: 'curly curls afro wavy frizzy',
  bob: 'bob fringe bangs',
  bald: 'bald shaved hairless',
  bun: 'bun topknot updo chignon',
  forest: 'forest woods woodland jungle trees pine autumn',
  sea: 'sea ocean beach coast harbour harbor waves lake river',
  city: 'city street urban skyline town downtown cyberpunk rooftop',
  sunset: 'sunset sunrise dawn dusk evening',
  night: 'night midnight stars starry moonlight moonlit nocturnal',
  garden: 'garden flowers meadow blossom blossoms roses spring floral',
  snow: 'snow snowy winter ice frost frozen arctic',
  mountain: 'mountain mountains hills alps cliff valley',
  desert: 'desert dunes sand sahara canyon',
  checkered: 'checkered checkerboard chequered chessboard checked',
  studio: 'studio plain seamless minimal minimalist',
  space: 'space galaxy cosmic nebula stellar astronaut',
  pastel: 'pastel watercolor watercolour soft gentle delicate dreamy misty',
  noir: 'noir monochrome',
  warm: 'golden sunlit candlelight firelight cosy cozy warm sunny summer',
  cool: 'cold icy serene calm quiet melancholy rain rainy foggy',
  neon: 'neon cyberpunk vaporwave synthwave electric',
  dark: 'dramatic moody shadow shadows gothic gloomy chiaroscuro',
  bright: 'bright radiant vivid luminous sunny vibrant',
  empty: 'landscape scenery vista panorama',
};
/** The other way round: a word that lessens a trait. */
const opposites: Readonly<Partial<Record<Trait, string>>> = {
  smile: 'sad serious stern frowning crying angry melancholy gloomy solemn',
};

/** word → trait → −1…1 */
export const traitsOf: ReadonlyMap<string, Partial<Record<Trait, number>>> = (() => {
  const found = new Map<string, Partial<Record<Trait, number>>>();
  const put = (words: string, trait: Trait, value: number) => {
    for (const word of words.split(' ')) found.set(word, { ...found.get(word), [trait]: value });
  };
  for (const trait of traits) put(traitWords[trait], trait, 1);
  for (const [trait, words] of Object.entries(opposites) as [Trait, string][]) put(words, trait, -1);
  return found;
})();

/** Words that are a hair colour by themselves. */
export const hairWords: Readonly<Record<string, Rgb>> = Object.fromEntries(
  Object.entries({
    blond: 'blond',
    blonde: 'blonde',
    brunette: 'brown',
    redhead: 'ginger',
    ginger: 'ginger',
    auburn: 'auburn',
  }).map(([word, colour]) => [word, colours[colour]!]),
);

/** Every word that means something. */
export const knownWords: readonly string[] = [
  ...new Set([...Object.keys(colours), ...nounOf.keys(), ...traitsOf.keys(), ...Object.keys(hairWords)]),
].sort();

/** Before a colour: how far it goes to white or to black. */
export const shades: Readonly<Record<string, number>> = {
  light: 0.45,
  pale: 0.55,
  soft: 0.3,
  dark: -0.45,
  deep: -0.35,
};

/** What stands between a colour and a noun that is not its own. */
export const barriers: readonly string[] = [
  ',',
  '.',
  ';',
  'and',
  'with',
  'in',
  'on',
  'at',
  'before',
  'wearing',
  'against',
];

/** Words that turn the next one round. */
export const negations: readonly string[] = ['no', 'not', 'without'];
