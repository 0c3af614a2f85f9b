/** Somebody who asks, and what they ask: with every fact in place, to be changed where a test cares. */
import { randomUUID } from 'node:crypto';
import { parameterEntries } from '#config/parameters.ts';
import type { BatchRequest } from '#src/batches/batches.ts';
import type { Cell } from '#src/batches/cells.ts';
import type { CheckedPrompt } from '#src/moderation/words.ts';
import type { Parameter, ParameterJson, ResolvedParameters } from '#src/parameters/definitions.ts';
import type { Actor, Origin } from '#src/people/people.ts';
import { sayIn } from '#src/say.ts';

let last = 0;
const DISCORD_EPOCH_BASE = 1_200_000_000_000_000_000n;

/** A Discord id that no other call gave. */
export function snowflake(): string {
  last++;
  return String(DISCORD_EPOCH_BASE + BigInt(last));
}

export function actor(changes: Partial<Actor> = {}): Actor {
  return {
    id: snowflake(),
    guildId: snowflake(),
    roleIds: [],
    managesGuild: false,
    locale: 'en-US',
    ...changes,
  };
}

export function origin(changes: Partial<Origin> = {}): Origin {
  return {
    actor: actor(),
    interactionId: snowflake(),
    channelId: snowflake(),
    channelLocale: 'en-US',
    ageRestricted: false,
    say: sayIn('en'),
    botInside: true,
    token: randomUUID(),
    tokenExpiresAt: new Date(Date.now() + 15 * 60_000),
    ...changes,
  };
}

export const defaults: ResolvedParameters = Object.fromEntries(
  // What the file leaves out is the bundle's, by BUNDLE.
  [...parameterEntries].map(([name, { default: value = 'reference' }]) => [name, value]),
);

/** A value that is not the default, as long as they come. */
export function otherValue(parameter: Parameter): ParameterJson {
  switch (parameter.type) {
    case 'number':
    case 'integer':
      return parameter.default === parameter.max ? parameter.min : parameter.max;
    case 'boolean':
      return !parameter.default;
    case 'choice':
      return parameter.choices.findLast((one) => one !== parameter.default) ?? parameter.default;
    case 'loras':
      return 'film:0.6, ink:0.4';
    case 'text':
      return 'hands, '.repeat(140);
  }
}

type Changes = Partial<Omit<Cell, 'prompt'>> & { readonly prompt?: string };

export function cell({ prompt, ...changes }: Changes = {}, values: ResolvedParameters = {}): Cell {
  return {
    // Not checked here: that would read the environment, which some tests set first.
    prompt: (prompt ?? 'portrait of a woman, red hair') as CheckedPrompt,
    seed: 1,
    faceFolderId: null,
    ideaId: null,
    coordinates: {},
    ...changes,
    parameters: { ...defaults, ...values, ...changes.parameters },
  };
}

export function request(
  cells: readonly Cell[] = [cell()],
  changes: Partial<BatchRequest> = {},
): BatchRequest {
  return { kind: 'imagine', title: 'A test', asked: {}, cells, tier: 'fast', production: false, ...changes };
}
