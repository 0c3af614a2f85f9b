/**
 * The classifiers of nsfwjs, to ONNX: MobileNet v2 and Inception v3 with five labels. Its files are scripts that hold the weights; they are
 * read, not run.
 *
 * Source: infinitered/nsfwjs@v4.4.0 `src/core.ts` `infer` (levels 0…1, bilinear without antialiasing, corners aligned), `src/nsfw_classes.ts`.
 */
import { kerasToOnnx, LayersModel } from './keras.ts';
import type { PinnedPackage } from './npm-package.ts';

export const NSFWJS: PinnedPackage = {
  spec: 'nsfwjs@4.4.0',
  integrity:
    'sha512-krC1fgeTLXtZwgdpKJ0jm7hqv0gTSRQQRL+FhOaxaJ9Wj92t42BO3csO2odwgTAgZgf2RvkwPtp0R8Aa7dc+MA==',
};

export const LABELS = ['Drawing', 'Hentai', 'Neutral', 'Porn', 'Sexy'];

/**
 * Of each: its folder in the package, the side of the square that it takes (px), and what it says of the test card, as TensorFlow.js does
 * of its golden pairs to 1e-6.
 */
export const NETWORKS = {
  mobilenet: {
    folder: 'mobilenet_v2',
    side: 224,
    testCard: { Drawing: 0.402, Hentai: 0.001, Neutral: 0.597, Porn: 0, Sexy: 0 },
  },
  inception: {
    folder: 'inception_v3',
    side: 299,
    testCard: { Drawing: 0.388, Hentai: 0.009, Neutral: 0.601, Porn: 0.001, Sexy: 0 },
  },
} as const;
export type NetworkName = keyof typeof NETWORKS;

/**
 * The same bytes each time.
 *
 * @param files of the package
 * @throws {Error} naming what is not as it was in the version that was looked at
 */
export function convert(files: ReadonlyMap<string, Uint8Array>, network: NetworkName): Uint8Array {
  const { folder, side } = NETWORKS[network];
  const script = (name: string) => {
    const path = `dist/models/${folder}/${name}.min.js`;
    const bytes = files.get(path);
    if (!bytes) throw new Error(`The package has no ${path}.`);
    return Buffer.from(bytes).toString('utf8');
  };
  const model = LayersModel.parse(literalIn(script('model')));
  const shards = new Map<string, Uint8Array>();
  for (const path of model.weightsManifest.flatMap(({ paths }) => paths))
    shards.set(path, new Uint8Array(Buffer.from(longestString(script(path)), 'base64')));
  return kerasToOnnx(model, shards, side);
}

/** The object that a script gives for its exports: JSON but for names without quotes, `!0`, `!1` and numbers like `.5`. */
function literalIn(script: string): unknown {
  const mark = /\w\.exports=(?=\{modelTopology)/.exec(script);
  if (!mark) throw new Error('The script gives no model.');
  const from = mark.index + mark[0].length;
  const tokens = /"(?:[^"\\]|\\.)*"|[A-Za-z_$][\w$]*|![01]|-?\.?\d[\d.]*(?:e[+-]?\d+)?|[{}[\],:]/gy;
  tokens.lastIndex = from;
  let json = '';
  let depth = 0;
  do {
    const token = tokens.exec(script)?.[0];
    if (token === undefined) throw new Error('The script has more than a model in its exports.');
    if (token === '{' || token === '[') depth++;
    if (token === '}' || token === ']') depth--;
    json += asJson(token);
  } while (depth);
  return JSON.parse(json);
}

function asJson(token: string): string {
  if (token === '!0') return 'true';
  if (token === '!1') return 'false';
  if (/^-?\./.test(token)) return token.replace('.', '0.');
  return /^[A-Za-z_$]/.test(token) && token !== 'null' ? `"${token}"` : token;
}

/** A shard's script is one long string of base64, and what exports it. */
function longestString(script: string): string {
  const strings = script.match(/"[A-Za-z0-9+/=]*"/g) ?? [];
  const [longest] = strings.sort((a, b) => b.length - a.length);
  if (!longest || longest.length < 1_000) throw new Error('The script holds no weights.');
  return longest.slice(1, -1);
}
