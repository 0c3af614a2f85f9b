import { globSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { messageCommands, presses, slashCommands } from '#commands/index.ts';
import { oneLine } from '#commands/sweep.ts';
import { actions } from '#src/custom-ids.ts';
import { sameCommands } from '#src/services/bot/register.ts';

const definitions = () =>
  [...slashCommands.values(), ...messageCommands.values()].map(({ data }) => data.toJSON());

describe('the commands', () => {
  it('are those that people were promised', () => {
    expect([...slashCommands.keys()]).toEqual(
      expect.arrayContaining([
        'imagine',
        'set',
        'settings',
        'faces',
        'test_face_mecene',
        'sweep',
        'queue',
        'gallery',
        'guild',
      ]),
    );
    expect([...messageCommands.keys()]).toEqual(['Details', 'Rerun', 'Cancel', 'Report']);
  });

  it('are all that have a file', async () => {
    const modules = await Promise.all(
      globSync('commands/*.ts').map(async (file) => (await import(`../../${file}`)) as { default?: unknown }),
    );
    const listed = new Set<unknown>(slashCommands.values());
    const missing = modules.map((module) => module.default).filter((one) => one && !listed.has(one));
    expect(missing).toEqual([]);
    expect(modules.length).toBeGreaterThan(listed.size);
  });

  it('say where they may be used, each on purpose', () => {
    for (const { name, contexts, integration_types: types } of definitions()) {
      expect(contexts, name).toBeDefined();
      expect(types, name).toBeDefined();
    }
  });

  it('keep their options in the order that Discord takes: required ones first', () => {
    for (const command of slashCommands.values()) {
      const { options = [] } = command.data.toJSON();
      const required = options.map((option) => ('required' in option && option.required) === true);
      expect(
        [...required].sort((a, b) => Number(b) - Number(a)),
        command.data.name,
      ).toEqual(required);
    }
  });

  it('have a handler for every action, and none for what is no action', () => {
    expect(Object.keys(presses).sort()).toEqual(Object.keys(actions).sort());
  });

  it('are known again in what Discord makes of them', () => {
    const there = definitions().map((command) => ({
      description: '',
      ...command,
      id: '1',
      application_id: '2',
      version: '3',
      nsfw: false,
      name_localizations: null,
    }));
    expect(sameCommands(definitions(), there as never)).toBe(true);
    expect(sameCommands(definitions(), there.slice(1) as never)).toBe(false);
  });
});

describe('the YAML of /sweep', () => {
  it.each([
    ['prompt: a\\naxes:\\n  steps: 1, 2', 'prompt: a\naxes:\n  steps: 1, 2'],
    ['{prompt: a, axes: {steps: [1, 2]}}', '{prompt: a, axes: {steps: [1, 2]}}'],
    ['```yaml\nprompt: a\n```', 'prompt: a\n'],
    ['prompt: "a\\nb"\nseeds: 2', 'prompt: "a\\nb"\nseeds: 2'],
  ])('%j is read as %j', (given, read) => {
    expect(oneLine(given)).toBe(read);
  });
});
