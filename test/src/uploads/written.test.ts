import { describe, expect, it } from 'vitest';
import { PROMPT_MAX, writtenIn } from '#src/uploads/written.ts';

const lines = (text: string) => writtenIn([{ keyword: 'parameters', text }]);
const graph = (nodes: object) => writtenIn([{ keyword: 'prompt', text: JSON.stringify(nodes) }]);

describe('lines as A1111 writes them', () => {
  it('say all that they have', () => {
    expect(
      lines(`a woman, <lora:ink:0.6> red hair,
in a garden
Negative prompt: blurry, hands,
ugly
Steps: 24, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 4294967295, Size: 832x1216, Model hash: 31e35c80fc, Model: sd_xl_base_1.0, Lora hashes: "ink: 1, b: 2", Version: v1.10.1`),
    ).toEqual({
      by: 'A1111',
      prompt: 'a woman,  red hair,\nin a garden',
      negativePrompt: 'blurry, hands,\nugly',
      steps: 24,
      guidanceScale: 6.5,
      seed: '4294967295',
      scheduler: 'DPM++ 2M Karras',
      size: { width: 832, height: 1216 },
      model: 'sd_xl_base_1.0',
      loras: [{ name: 'ink', scale: 0.6 }],
    });
  });

  it('say no more than they have', () => {
    expect(lines('Steps: 20, Sampler: Euler a')).toEqual({
      by: 'A1111',
      prompt: null,
      negativePrompt: null,
      steps: 20,
      guidanceScale: null,
      seed: null,
      scheduler: 'Euler a',
      size: null,
      model: null,
      loras: [],
    });
  });

  it.each(['a text about something else', 'Steps: a few, and then some', '', 'x'.repeat(5_000_000)])(
    'are none of any other text',
    (text) => {
      expect(lines(text)).toBeNull();
    },
  );

  it('read a value with commas in quotes as one', () => {
    expect(lines('a cat\nSteps: 8, Model: "a, b: \\"c\\"", Seed: 1')).toMatchObject({
      model: 'a, b: "c"',
      seed: '1',
    });
  });

  it('are read in an EXIF comment, too, and cut where a prompt has no end', () => {
    const text = `${'é'.repeat(20_000)}\nSteps: 3, Seed: -1`;
    const written = writtenIn([{ keyword: 'comment', text }]);
    expect(written?.prompt).toHaveLength(PROMPT_MAX);
    expect(written?.seed).toBeNull();
  });
});

describe('InvokeAI’s JSON', () => {
  const invoke = (json: object) => writtenIn([{ keyword: 'invokeai_metadata', text: JSON.stringify(json) }]);

  it('says all that it has', () => {
    expect(
      invoke({
        generation_mode: 'sdxl_txt2img',
        positive_prompt: 'a lighthouse',
        negative_prompt: '',
        width: 1024,
        height: 768,
        seed: 3_735_928_559,
        cfg_scale: 5.5,
        steps: 30,
        scheduler: 'dpmpp_2m_k',
        model: { name: 'stable-diffusion-xl-base-1-0', base: 'sdxl' },
        loras: [{ model: { name: 'film' }, weight: 0.75 }],
      }),
    ).toEqual({
      by: 'InvokeAI',
      prompt: 'a lighthouse',
      negativePrompt: null,
      steps: 30,
      guidanceScale: 5.5,
      seed: '3735928559',
      scheduler: 'dpmpp_2m_k',
      size: { width: 1024, height: 768 },
      model: 'stable-diffusion-xl-base-1-0',
      loras: [{ name: 'film', scale: 0.75 }],
    });
  });

  it('is nothing where it lies', () => {
    expect(invoke({ positive_prompt: 7, steps: 'many' })).toBeNull();
    expect(invoke({ app_version: '5.0' })).toBeNull();
  });
});

describe('ComfyUI’s graph', () => {
  const nodes = {
    '3': {
      class_type: 'KSampler',
      inputs: {
        seed: 156680208700286,
        steps: 20,
        cfg: 8,
        sampler_name: 'euler',
        scheduler: 'normal',
        denoise: 1,
        model: ['10', 0],
        positive: ['6', 0],
        negative: ['7', 0],
        latent_image: ['5', 0],
      },
    },
    '4': { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'sd_xl_base_1.0.safetensors' } },
    '5': { class_type: 'EmptyLatentImage', inputs: { width: 512, height: 768, batch_size: 1 } },
    '6': { class_type: 'CLIPTextEncode', inputs: { text: 'a glass bottle', clip: ['10', 1] } },
    '7': { class_type: 'CLIPTextEncode', inputs: { text: 'text, watermark', clip: ['10', 1] } },
    '10': {
      class_type: 'LoraLoader',
      inputs: {
        lora_name: 'ink.safetensors',
        strength_model: 0.5,
        strength_clip: 1,
        model: ['4', 0],
        clip: ['4', 1],
      },
    },
  };

  it('says what its sampler was given', () => {
    expect(graph(nodes)).toEqual({
      by: 'ComfyUI',
      prompt: 'a glass bottle',
      negativePrompt: 'text, watermark',
      steps: 20,
      guidanceScale: 8,
      seed: '156680208700286',
      scheduler: 'euler normal',
      size: { width: 512, height: 768 },
      model: 'sd_xl_base_1.0.safetensors',
      loras: [{ name: 'ink.safetensors', scale: 0.5 }],
    });
  });

  it('gives a seed that no double holds by its own digits, and lives with what Python calls a number', () => {
    const text = JSON.stringify(nodes)
      .replace('156680208700286', '18446744073709551615')
      .replace('"denoise":1', '"denoise":NaN');
    expect(writtenIn([{ keyword: 'prompt', text }])).toMatchObject({
      seed: '18446744073709551615',
      steps: 20,
    });
  });

  it('of a second pass is that pass’, and of two that nothing follows it is nobody’s', () => {
    const again = { ...nodes['3'], inputs: { ...nodes['3'].inputs, steps: 9, latent_image: ['3', 0] } };
    expect(graph({ ...nodes, '20': again })).toMatchObject({ steps: 9, size: { width: 512, height: 768 } });
    expect(
      graph({ ...nodes, '20': { ...again, inputs: { ...again.inputs, latent_image: ['5', 0] } } }),
    ).toBeNull();
  });

  it('says nothing of a prompt that is put together from several', () => {
    const both = {
      class_type: 'ConditioningCombine',
      inputs: { conditioning_1: ['6', 0], conditioning_2: ['7', 0] },
    };
    const sampler = { ...nodes['3'], inputs: { ...nodes['3'].inputs, positive: ['30', 0] } };
    expect(graph({ ...nodes, '3': sampler, '30': both })).toMatchObject({
      prompt: null,
      negativePrompt: 'text, watermark',
    });
  });

  it('ends where it leads in a circle, and is none where it is no graph', () => {
    const circle = { class_type: 'X', inputs: { a: ['40', 0], b: ['missing', 0], c: ['__proto__', 0] } };
    const sampler = { ...nodes['3'], inputs: { ...nodes['3'].inputs, positive: ['40', 0] } };
    expect(graph({ ...nodes, '3': sampler, '40': circle })).toMatchObject({ prompt: null });
    expect(graph({ a: 1 })).toBeNull();
    expect(graph([])).toBeNull();
  });
});
