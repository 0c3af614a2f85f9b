/** Parts that several commands' options share. */
import { tiers } from '#config/tiers.ts';
import { workersAlive } from '#src/backlog/fleet.ts';
import { listFolders } from '#src/faces.ts';
import { parameters } from '#src/parameters/definitions.ts';
import type { Suggestion } from '#src/parameters/suggestions.ts';
import type { Say } from '#src/say.ts';

/** Everywhere: in guilds, in the bot's DM, and where only the person has installed it. */
export { ApplicationIntegrationType as Install, InteractionContextType as Context } from 'discord.js';

/** A parameter's choices, as Discord takes them. */
export function choicesOf(name: string): Suggestion[] {
  const parameter = parameters.get(name);
  if (parameter?.type !== 'choice') throw new Error(`config/parameters.yaml has no choice named ${name}`);
  return parameter.choices.map((value) => ({ name: value, value }));
}

export function tierChoices(): Suggestion[] {
  return [...tiers].map(([value, { description, tokens }]) => ({
    name: `${value}: ${description.toLowerCase()}, ${tokens} ${tokens === 1 ? 'token' : 'tokens'} for 40 steps`,
    value,
  }));
}

/** Bundles to draw with, and which of them are ready to be drawn with at once. */
export async function suggestBundles(say: Say, typed: string): Promise<Suggestion[]> {
  const wanted = typed.trim().toLowerCase();
  const warm = new Set((await workersAlive()).flatMap((worker) => worker.warm));
  return choicesOf('bundle')
    .filter(({ value }) => value.includes(wanted))
    .map(({ value }) => ({
      name: warm.has(value) ? say('{bundle} · ready at once', { bundle: value }) : value,
      value,
    }));
}

/** A person's own face folders that can be drawn with. */
export async function suggestFolders(say: Say, userId: string, typed: string): Promise<Suggestion[]> {
  const wanted = typed.trim().toLowerCase();
  const folders = await listFolders(userId);
  return folders
    .filter(({ name }) => name.includes(wanted))
    .map(({ name, photos }) => ({
      name: `${name} · ${photosOf(say, photos)}`,
      value: name,
    }));
}

/** How many photos of a folder may be used. */
export function photosOf(say: Say, photos: number): string {
  return photos
    ? say('{photos, plural, one {# photo} other {# photos}}', { photos })
    : say('waits for consent');
}
