/** A parameter of config/parameters.yaml that counts for the cell key must reach the pipeline: else each value is charged and draws the same picture. */
import { describe, expect, it } from 'vitest';
import { SHARED } from '#pipelines/portrait.ts';
import { cellKey, changesPixels, shapeOf, sizeOf } from '#src/batches/cells.ts';
import { parameters } from '#src/parameters/definitions.ts';
import { portraitTask } from '#src/services/worker/requests/portrait.ts';
import { cell, otherValue } from '#test/support/requests.ts';

const counting = [...parameters].filter(([name]) => changesPixels(name));
/** Of these a picture that was drawn with one value is taken for one with another. */
const others = [...parameters].filter(([name]) => !changesPixels(name));

function taskOf(values: Record<string, string | number | boolean | null> = {}) {
  const { prompt, parameters: all } = cell({}, values);
  return portraitTask({ prompt, seed: 1n, parameters: all, ...sizeOf(all) });
}

describe('a portrait’s request', () => {
  it.each(counting)('changes with %s', (name, parameter) => {
    const value = otherValue(parameter);
    expect(value).not.toBe(parameter.default);
    expect(
      JSON.stringify(taskOf({ [name]: value })),
      `${name} changes the key of a picture, and nothing of its request: name it in src/services/worker/requests/portrait.ts, or say \`pixels: false\``,
    ).not.toBe(JSON.stringify(taskOf()));
  });

  it.each(counting)('and so does the key of its cell, with %s', (name, parameter) => {
    expect(cellKey(cell({}, { [name]: otherValue(parameter) }), null)).not.toBe(cellKey(cell(), null));
  });

  it.each(others)('and is the same with another %s, which is in no key', (name, parameter) => {
    expect(taskOf({ [name]: otherValue(parameter) })).toEqual(taskOf());
  });

  it.each(counting)(
    'is of another shape just where it can’t be drawn with the other, with %s',
    (name, parameter) => {
      const values = { [name]: otherValue(parameter) };
      const [one, other] = [taskOf(), taskOf(values)];
      const together = SHARED.every((field) => one.request[field] === other.request[field]);
      expect(shapeOf(cell({}, values)) === shapeOf(cell())).toBe(together);
    },
  );

  it.each(
    [...parameters].flatMap(([name, p]) =>
      p.type === 'choice' ? p.choices.map((c) => [name, c] as const) : [],
    ),
  )('takes every choice: %s %s', (name, choice) => {
    expect(() => taskOf({ [name]: choice })).not.toThrow();
  });

  it('of a row that is older than a parameter has its default', () => {
    const { parameters: all, prompt } = cell();
    const { guidance_rescale: _, detail_feather: __, lora: ___, gender: ____, ...old } = all;
    delete old.timestep_spacing;
    expect(portraitTask({ prompt, seed: 1n, parameters: old, ...sizeOf(all) })).toEqual(taskOf());
  });
});
