/** Which LoRAs people can draw with: those that a bundle has where workers have it, as the workers' own rows say. */
import type { ParameterJson } from '#config/parameters.ts';
import { lorasOf as lorasThere } from '#src/backlog/fleet.ts';
import { UserError } from '#src/errors.ts';
import { checkName } from '#src/moderation/words.ts';
import { message } from '#src/say.ts';
import { parseLoras } from './lora-choice.ts';

/** A name that the rules for prompts refuse is offered to nobody. null: there is no worker */
async function lorasOf(bundle: string): Promise<string[] | null> {
  const there = await lorasThere(bundle);
  return (
    there?.filter((name) => {
      try {
        checkName(name, message('A LoRA'));
        return true;
      } catch (error) {
        if (error instanceof UserError) return false;
        throw error;
      }
    }) ?? null
  );
}

/**
 * Checks that every LoRA named in these values of a `loras` parameter is there. While there is no worker, nothing is
 * refused: the next one to come will say.
 *
 * @throws {UserError} `lora_unknown`
 */
export async function requireLoras(
  bundle: string,
  values: Iterable<ParameterJson | undefined>,
): Promise<void> {
  const names = new Set(
    [...values]
      .flatMap((value) => (typeof value === 'string' ? parseLoras(value) : []))
      .map(({ name }) => name),
  );
  if (!names.size) return;
  const known = await lorasOf(bundle);
  const missing = known && [...names].find((name) => !known.includes(name));
  if (missing) throw new UserError('lora_unknown', { name: missing, known });
}

/** For autocomplete: what is typed up to the last comma, and each name that may follow. */
export async function completeLoras(bundle: string, typed: string): Promise<string[]> {
  const before = typed.includes(',') ? `${typed.slice(0, typed.lastIndexOf(',')).trim()}, ` : '';
  const begun = typed
    .slice(typed.lastIndexOf(',') + 1)
    .trim()
    .toLowerCase();
  const used = new Set(before.split(',').map((part) => part.trim().split(':')[0]));
  const known = (await lorasOf(bundle)) ?? [];
  return known.filter((name) => name.includes(begun) && !used.has(name)).map((name) => `${before}${name}`);
}
