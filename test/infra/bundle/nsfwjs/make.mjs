// Makes pairs.json: what nsfwjs 4.4.0 says by TensorFlow.js of pictures made by formula, fed its own way. See README.md.

import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/`);
const tf = require('@tensorflow/tfjs');
const models = `${process.cwd()}/node_modules/nsfwjs/dist/models`;

/** Stripes, squares and a shade, in whole numbers alone: every machine makes the same. */
function picture(seed, width, height) {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) {
        const stripes = ((x * (seed + c)) >> 2) % 64;
        const squares = ((x >> (3 + (seed % 3))) + (y >> 4)) % 2 ? 70 : 0;
        const shade = Math.floor((y * (90 + 20 * c)) / height);
        rgb[(y * width + x) * 3 + c] = (stripes + squares + shade + 10 * seed) % 256;
      }
  return rgb;
}

const pairs = [];
for (const [network, folder, side] of [
  ['mobilenet', 'mobilenet_v2', 224],
  ['inception', 'inception_v3', 299],
]) {
  const model = await tf.loadLayersModel({ load: async () => artifacts(folder) });
  for (const [seed, width, height] of [
    [1, 300, 200],
    [2, side, side],
    [3, 96, 77],
  ]) {
    const image = tf
      .tensor3d(picture(seed, width, height), [height, width, 3], 'int32')
      .toFloat()
      .div(tf.scalar(255));
    const fed = width === side ? image : tf.image.resizeBilinear(image, [side, side], true);
    const scores = await model.predict(fed.reshape([1, side, side, 3])).data();
    pairs.push({ network, seed, width, height, scores: [...scores] });
  }
}
writeFileSync(new URL('./pairs.json', import.meta.url), `${JSON.stringify(pairs, null, 1)}\n`);

function artifacts(folder) {
  const json = require(`${models}/${folder}/model.min.js`);
  const specs = json.weightsManifest.flatMap((group) => group.weights);
  const bytes = json.weightsManifest
    .flatMap((group) => group.paths)
    .map((path) => Buffer.from(require(`${models}/${folder}/${path}.min.js`), 'base64'));
  return {
    modelTopology: json.modelTopology,
    weightSpecs: specs,
    weightData: new Uint8Array(Buffer.concat(bytes)).slice().buffer,
  };
}
