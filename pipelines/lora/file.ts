/**
 * What a LoRA file says: for each module a pair of small matrices, whatever its writer called them.
 *
 * Source: Hu et al. 2021 (arXiv:2106.09685); the names of kohya-ss/sd-scripts@48d368f `networks/lora.py`, huggingface/peft
 * `tuners/lora/layer.py`, huggingface/diffusers@58eb52c `loaders/lora_conversion_utils.py`, TencentARC/PhotoMaker@060b4fc.
 * Checked by: test/golden-runs/lora.ts, test/pipelines/lora/lora.test.ts.
 */
import { z } from 'zod';
import type { Safetensors, StoredTensor } from '../safetensors.ts';

/** The networks of a bundle that a LoRA may change. */
export const loraTargets = ['unet', 'textEncoder', 'textEncoder2'] as const;
export type LoraTarget = (typeof loraTargets)[number];

/** ΔW = alpha / rank · up · down, of one module. */
export interface LoraPart {
  readonly target: LoraTarget;
  /** `a.b.0.c`, or with underscores for the dots, as kohya writes it; see `findModule` */
  readonly module: string;
  readonly rank: number;
  /** alpha / rank */
  readonly scale: number;
  /** [rank, in] or [rank, in, kh, kw] */
  readonly down: StoredTensor;
  /** [out, rank] or [out, rank, 1, 1] */
  readonly up: StoredTensor;
}

/** Prefixes by the network they name; the longest that fits counts. */
const PREFIXES: readonly (readonly [prefix: string, target: LoraTarget])[] = [
  ['lora_te1_', 'textEncoder'],
  ['lora_te2_', 'textEncoder2'],
  ['lora_te_', 'textEncoder'],
  ['lora_unet_', 'unet'],
  ['text_encoder_2.', 'textEncoder2'],
  ['text_encoder.', 'textEncoder'],
  ['unet.', 'unet'],
];
/** Other ways to write a small change of a weight, with formulas of their own. */
const OTHER_KINDS =
  /\.(dora_scale|hada_\w+|lokr_\w+|lora_mid\.weight|oft_\w+|diff|diff_b|magnitude\w*|lora_magnitude\w*)(\.|$)/u;

const Adapter = z.record(z.string(), z.unknown()).catch({});

/** @throws {RangeError} naming what is no LoRA, or one of a kind that is not merged here */
export function readLora(file: Safetensors): LoraPart[] {
  const halves = new Map<string, { down?: StoredTensor; up?: StoredTensor; alpha?: number }>();
  const strange: string[] = [];
  for (const [key, tensor] of file) {
    const name = key.replace(/^(lora_weights|base_model\.model)\./u, '');
    if (name.startsWith('id_encoder.')) continue; // PhotoMaker's one file has both
    if (OTHER_KINDS.test(name))
      throw new RangeError(
        `it is no plain LoRA: ${name} belongs to DoRA, LoHa, LoKr or another kind, which can't be merged`,
      );
    const found = halfOf(name);
    if (!found) {
      strange.push(name);
      continue;
    }
    const half = halves.get(found.module) ?? {};
    halves.set(found.module, half);
    if (found.half === 'alpha') half.alpha = tensor.numbers()[0] ?? Number.NaN;
    else half[found.half] = tensor;
  }
  if (strange.length)
    throw new RangeError(`${strange.length} of its tensors are no LoRA's: ${strange.slice(0, 3).join(', ')}`);
  if (!halves.size) throw new RangeError('it has no LoRA tensors');
  const adapter = adapterOf(file);
  return [...halves].map(([name, half]) => partOf(name, half, adapter));
}

/** `….lora_down.weight` and its other spellings. */
function halfOf(name: string): { module: string; half: 'down' | 'up' | 'alpha' } | null {
  const alpha = /^(.+)\.alpha$/u.exec(name);
  if (alpha) return { module: plain(alpha[1]!), half: 'alpha' };
  const found = /^(.+?)(?:\.lora_|\.lora\.|_lora\.)(down|up|A|B)(?:\.\w+)?\.weight$/u.exec(name);
  if (!found) return null;
  const [, module, kind] = found;
  return { module: plain(module!), half: kind === 'down' || kind === 'A' ? 'down' : 'up' };
}

/** diffusers once kept attention's in processors: `attn1.processor.to_out_lora` is `attn1.to_out.0`. */
function plain(module: string): string {
  return module.replace(/\.processor\.to_out$/u, '.to_out.0').replace(/\.processor\./u, '.');
}

function partOf(
  name: string,
  { down, up, alpha }: { down?: StoredTensor; up?: StoredTensor; alpha?: number },
  adapter: Readonly<Record<string, unknown>>,
): LoraPart {
  if (!down || !up) throw new RangeError(`${name} has only one of its two matrices`);
  const rank = down.shape[0] ?? 0;
  if (!rank || up.shape[1] !== rank || up.shape.slice(2).some((side) => side !== 1)) {
    throw new RangeError(
      `${name}: [${down.shape.join(', ')}] and [${up.shape.join(', ')}] are no pair of matrices`,
    );
  }
  const [prefix, target] = PREFIXES.find(([start]) => name.startsWith(start)) ?? ['', 'unet' as const];
  const module = name.slice(prefix.length);
  const of = (key: string) => adapter[`${prefix}${key}`] ?? adapter[key];
  const patterns = z
    .record(z.string(), z.number())
    .catch({})
    .parse(of('alpha_pattern') ?? {});
  const common = of('lora_alpha');
  const own = alpha ?? patterns[module] ?? (typeof common === 'number' ? common : rank);
  if (!Number.isFinite(own)) throw new RangeError(`${name}: its alpha is no number`);
  return {
    target,
    module,
    rank,
    scale: own / (of('use_rslora') === true ? Math.sqrt(rank) : rank),
    down,
    up,
  };
}

/** peft's configuration, as `save_lora_weights` writes it into the header. */
function adapterOf({ metadata }: Safetensors): Readonly<Record<string, unknown>> {
  try {
    return Adapter.parse(JSON.parse(metadata.lora_adapter_metadata ?? '{}'));
  } catch {
    throw new RangeError('lora_adapter_metadata in its header is not JSON');
  }
}
