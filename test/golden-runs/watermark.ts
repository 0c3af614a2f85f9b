/** The watermark that diffusers writes, `dwtDct`: what is written, and what is read of it, whatever became of the picture. */
import { z } from 'zod';
import { BITS, readDwtDct, writeDwtDct } from '../support/dwt-dct.ts';
import { compare, compareLevels, type GoldenRunner } from '../support/golden.ts';
import { readPicture } from '../support/read-picture.ts';

const Params = z.object({ input: z.string(), output: z.string(), jpeg: z.string() });
/** Another reader of JPEG rounds otherwise. */
const JPEG = { absolute: 1 };

export const watermark: GoldenRunner = (set) => async (c) => {
  const { input, output, jpeg } = Params.parse(c.params);
  const picture = (name: string) => readPicture(set.path(name));
  const bits = [...c.get('bits').data];
  const unmarked = await picture(input);
  const marked = await picture(output);
  const wrote = writeDwtDct(unmarked, bits);
  const jpegs = { decoded_jpeg_q90: jpeg, decoded_jpeg_q90_444: jpeg.replace('.jpg', '-444.jpg') };
  const out = [
    compareLevels(output, wrote.rgb, marked.rgb, { most: 0, mean: 0 }),
    compare('how many bits', [bits.length], [BITS], {}),
    compare('decoded', readDwtDct(marked), c.get('decoded').data, {}),
    compare('decoded of what we wrote', readDwtDct(wrote), c.get('decoded').data, {}),
    compare('decoded_unmarked', readDwtDct(unmarked), c.get('decoded_unmarked').data, {}),
  ];
  for (const [tensor, file] of Object.entries(jpegs)) {
    const got = readDwtDct(await picture(file));
    const wrong = got.filter((bit, i) => bit !== c.get(tensor).data[i]).length;
    out.push(compare(tensor, [wrong], [0], JPEG));
  }
  return out;
};
