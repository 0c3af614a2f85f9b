/**
 * What a file's own text says of how it was drawn, in the forms of three programs. Read, never guessed: what is not written there is null,
 * and what can't be read whole is as if it were not there.
 *
 *   A1111's web UI, and those that write as it does   `parameters` of a PNG, EXIF's comment of others: lines of text
 *   InvokeAI                                          `invokeai_metadata` of a PNG: JSON
 *   ComfyUI                                           `prompt` of a PNG: the graph of what was run, as JSON
 *
 * Source of the forms: AUTOMATIC1111/stable-diffusion-webui@0365002 `modules/infotext_utils.py`; invoke-ai/InvokeAI@a72a423
 * `invokeai/app/invocations/metadata.py`; comfyanonymous/ComfyUI@0109431 `nodes.py`.
 */
import { z } from 'zod';

export const Written = z.object({
  by: z.enum(['A1111', 'InvokeAI', 'ComfyUI']),
  prompt: z.string().nullable(),
  negativePrompt: z.string().nullable(),
  steps: z.number().nullable(),
  guidanceScale: z.number().nullable(),
  /** digits: some programs' go to 2⁶⁴ */
  seed: z.string().nullable(),
  /** in the program's own words */
  scheduler: z.string().nullable(),
  /** px */
  size: z.object({ width: z.number(), height: z.number() }).nullable(),
  model: z.string().nullable(),
  loras: z.array(z.object({ name: z.string(), scale: z.number() })),
});
export type Written = z.output<typeof Written>;

/** A text that a file carries. */
export interface Text {
  readonly keyword: string;
  readonly text: string;
}

/** Characters of a text that is read: graphs of ComfyUI are long. */
const READ_MAX = 4_000_000;
/** Characters of a prompt that is given back. */
export const PROMPT_MAX = 8_000;
/** Steps from a sampler to the text that it follows. */
const DEPTH_MAX = 24;

/** @returns what the first text that says something says; null: none does */
export function writtenIn(texts: readonly Text[]): Written | null {
  const readers: Readonly<Record<string, (text: string) => Written | null>> = {
    parameters: readLines,
    invokeai_metadata: readInvoke,
    prompt: readGraph,
    comment: readLines,
  };
  for (const [keyword, read] of Object.entries(readers)) {
    for (const one of texts) {
      if (one.keyword !== keyword || one.text.length > READ_MAX) continue;
      const { data } = Written.safeParse(read(one.text));
      if (data) return shortened(data);
    }
  }
  return null;
}

const shortened = (written: Written): Written => ({
  ...written,
  prompt: written.prompt?.slice(0, PROMPT_MAX) ?? null,
  negativePrompt: written.negativePrompt?.slice(0, PROMPT_MAX) ?? null,
  scheduler: written.scheduler?.slice(0, 100) ?? null,
  model: written.model?.slice(0, 200) ?? null,
  loras: written.loras.slice(0, 20).map(({ name, scale }) => ({ name: name.slice(0, 200), scale })),
});

const LAST_LINE = /^Steps: \d+,/;
const NEGATIVE = 'Negative prompt:';
/** `Name: value`, and where a value has commas, `Name: "value"` as in JSON. */
const PART = /([A-Za-z][\w /-]*): ("(?:[^"\\]|\\.)*"|[^,]*)(?:, ?|$)/g;
const LORA = /<lora:([^:>]+):(-?\d*\.?\d+)[^>]*>/g;

/** Prompt, `Negative prompt: …`, and a last line `Steps: 20, Sampler: Euler a, CFG scale: 7, …`: without that one it is any text. */
function readLines(text: string): Written | null {
  const lines = text.trim().split(/\r?\n/);
  const last = lines.pop()?.trim() ?? '';
  if (!LAST_LINE.test(last)) return null;
  const parts = new Map(
    [...last.matchAll(PART)].map(([, name, value = '']) => [
      name,
      z.string().safeParse(jsonOf(value)).data ?? value.trim(),
    ]),
  );
  const negativeAt = lines.findIndex((line) => line.trimStart().startsWith(NEGATIVE));
  const positive = lines.slice(0, negativeAt < 0 ? undefined : negativeAt).join('\n');
  const negative =
    negativeAt < 0 ? '' : lines.slice(negativeAt).join('\n').trimStart().slice(NEGATIVE.length);
  const [sampler, schedule] = [parts.get('Sampler'), parts.get('Schedule type')];
  return {
    by: 'A1111',
    prompt: orNull(positive.replace(LORA, '').trim()),
    negativePrompt: orNull(negative.trim()),
    steps: numberOf(parts.get('Steps')),
    guidanceScale: numberOf(parts.get('CFG scale')),
    seed: digitsOf(parts.get('Seed')),
    // Before 1.9 a schedule was a part of the sampler's name.
    scheduler: orNull([sampler, schedule === 'Automatic' ? '' : schedule].filter(Boolean).join(' ')),
    size: sizeOf(...(parts.get('Size')?.split('x') ?? [])),
    model: orNull(parts.get('Model')),
    loras: [...positive.matchAll(LORA)].map(([, name = '', scale]) => ({ name, scale: Number(scale) })),
  };
}

const Digits = z.union([z.string().regex(/^\d+$/), z.int().nonnegative().transform(String)]);
const Invoke = z.looseObject({
  positive_prompt: z.string().nullish(),
  negative_prompt: z.string().nullish(),
  steps: z.number().nullish(),
  cfg_scale: z.number().nullish(),
  seed: Digits.nullish(),
  scheduler: z.string().nullish(),
  width: z.number().nullish(),
  height: z.number().nullish(),
  model: z.looseObject({ name: z.string().optional(), model_name: z.string().optional() }).nullish(),
  loras: z
    .array(
      z.looseObject({
        model: z.looseObject({ name: z.string().optional() }).optional(),
        lora: z.looseObject({ name: z.string().optional(), model_name: z.string().optional() }).optional(),
        weight: z.number(),
      }),
    )
    .nullish(),
});

function readInvoke(text: string): Written | null {
  const { data } = Invoke.safeParse(jsonOf(text));
  if (!data || (data.positive_prompt == null && data.steps == null)) return null;
  return {
    by: 'InvokeAI',
    prompt: orNull(data.positive_prompt),
    negativePrompt: orNull(data.negative_prompt),
    steps: data.steps ?? null,
    guidanceScale: data.cfg_scale ?? null,
    seed: data.seed ?? null,
    scheduler: orNull(data.scheduler),
    size: sizeOf(data.width, data.height),
    model: orNull(data.model?.name ?? data.model?.model_name),
    loras: (data.loras ?? []).flatMap(({ model, lora, weight }) => {
      const name = model?.name ?? lora?.name ?? lora?.model_name;
      return name ? [{ name, scale: weight }] : [];
    }),
  };
}

/** Another node's output: its id, and which one. */
const Link = z.tuple([z.string(), z.int()]);
const Node = z.looseObject({ class_type: z.string(), inputs: z.record(z.string(), z.unknown()) });
const Graph = z.record(z.string(), Node);
type Graph = z.output<typeof Graph>;
type Node = z.output<typeof Node>;

/** Says what the sampler was given. Of a graph with several samplers, the one that no other follows; with two such ends, nothing is sure. */
function readGraph(text: string): Written | null {
  const { data: graph } = Graph.safeParse(jsonOf(text));
  if (!graph) return null;
  const samplers = Object.entries(graph).filter(([, { class_type: type }]) =>
    /^KSampler(?:Advanced)?$/.test(type),
  );
  const follows = (id: string) =>
    samplers.some(([other, { inputs }]) => other !== id && ancestors(graph, inputs.latent_image).has(id));
  const ends = samplers.filter(([id]) => !follows(id));
  const [end] = ends;
  if (!end || ends.length > 1) return null;
  const { inputs } = end[1];
  const before = [...ancestors(graph, inputs.model).values()];
  const latents = [...ancestors(graph, inputs.latent_image).values()];
  const empty = latents.find(({ class_type: type }) => /^Empty\w*LatentImage$/.test(type))?.inputs;
  const number = (value: unknown) => (typeof value === 'number' ? value : null);
  const word = (value: unknown) => (typeof value === 'string' ? value : undefined);
  return {
    by: 'ComfyUI',
    prompt: textOf(graph, inputs.positive),
    negativePrompt: textOf(graph, inputs.negative),
    steps: number(inputs.steps),
    guidanceScale: number(inputs.cfg),
    seed: Digits.safeParse(inputs.seed ?? inputs.noise_seed).data ?? null,
    scheduler: orNull([word(inputs.sampler_name), word(inputs.scheduler)].filter(Boolean).join(' ')),
    size: sizeOf(number(empty?.width), number(empty?.height)),
    model: orNull(before.map(({ inputs: of }) => word(of.ckpt_name)).find(Boolean)),
    loras: before.flatMap(({ inputs: { lora_name: name, strength_model: scale } }) =>
      typeof name === 'string' && typeof scale === 'number' ? [{ name, scale }] : [],
    ),
  };
}

/** All that an input comes from, by id. */
function ancestors(
  graph: Graph,
  from: unknown,
  found = new Map<string, Node>(),
  depth = 0,
): Map<string, Node> {
  const { data: link } = Link.safeParse(from);
  const node = link && Object.hasOwn(graph, link[0]) ? graph[link[0]] : undefined;
  if (!link || !node || found.has(link[0]) || depth > DEPTH_MAX) return found;
  found.set(link[0], node);
  for (const input of Object.values(node.inputs)) ancestors(graph, input, found, depth + 1);
  return found;
}

/** The words that a conditioning comes from: where it comes from those of one node alone. */
function textOf(graph: Graph, conditioning: unknown): string | null {
  const encoders = [...ancestors(graph, conditioning).values()].filter(({ class_type: type }) =>
    type.startsWith('CLIPTextEncode'),
  );
  const said = encoders.flatMap(({ inputs }) => {
    const { data } = z.string().safeParse(inputs.text ?? inputs.text_g);
    return data === undefined ? [] : [data];
  });
  return said.length === 1 && encoders.length === 1 ? orNull(said[0]) : null;
}

/** Python's JSON has NaN, and numbers that a double does not hold: those come as their digits. */
function jsonOf(text: string): unknown {
  const whole = (_: string, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)
      ? (context?.source ?? null)
      : value;
  for (const json of [text, text.replaceAll(/([:[,]\s*)NaN(?=\s*[,\]}])/g, '$1null')]) {
    try {
      return JSON.parse(json, whole);
    } catch {
      // The other way, or it is no JSON.
    }
  }
  return undefined;
}

const orNull = (text: string | null | undefined) => text || null;
const digitsOf = (text: string | undefined) => (text !== undefined && /^\d+$/.test(text) ? text : null);

function numberOf(text: string | undefined): number | null {
  const value = text ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : null;
}

function sizeOf(width?: string | number | null, height?: string | number | null): Written['size'] {
  const [w, h] = [Number(width ?? Number.NaN), Number(height ?? Number.NaN)];
  return Number.isInteger(w) && Number.isInteger(h) && w > 0 && h > 0 ? { width: w, height: h } : null;
}
