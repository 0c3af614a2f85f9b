/**
 * Two LoRAs for the reference bundle, as safetensors: pictures in the mood of film noir, and of the golden hour, whatever the prompt
 * says. Rank 1, by formula: the constant that the UNet adds to what it hears, to the trait of that mood.
 */
import { WIDTH } from './text.ts';
import { TRAIT_MODULE } from './unet.ts';
import { type Trait, traits } from './words.ts';

/** LoRA → trait → how much of it */
const moods: Readonly<Record<string, Partial<Record<Trait, number>>>> = {
  noir: { noir: 1 },
  'golden-hour': { warm: 1 },
};

/** File name → bytes. */
export function loras(): Record<string, Uint8Array> {
  return Object.fromEntries(
    Object.entries(moods).map(([name, mood]) => {
      const down = new Float32Array(WIDTH);
      down[WIDTH - 1] = 1;
      const up = new Float32Array(WIDTH);
      for (const [trait, value] of Object.entries(mood) as [Trait, number][])
        up[traits.indexOf(trait)] = value;
      const tensors = {
        [`unet.${TRAIT_MODULE}.lora_A.weight`]: { data: down, shape: [1, WIDTH] },
        [`unet.${TRAIT_MODULE}.lora_B.weight`]: { data: up, shape: [WIDTH, 1] },
      };
      return [`${name}.safetensors`, safetensors(tensors)];
    }),
  );
}

function safetensors(
  tensors: Readonly<Record<string, { readonly data: Float32Array; readonly shape: readonly number[] }>>,
): Uint8Array {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, { data, shape }]) => {
    const from = end;
    end += data.byteLength;
    return [name, { dtype: 'F32', shape, data_offsets: [from, end] }] as const;
  });
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const out = new Uint8Array(8 + header.length + end);
  new DataView(out.buffer).setBigUint64(0, BigInt(header.length), true);
  out.set(header, 8);
  let at = 8 + header.length;
  for (const { data } of Object.values(tensors)) {
    out.set(new Uint8Array(data.buffer), at);
    at += data.byteLength;
  }
  return out;
}
