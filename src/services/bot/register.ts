/**
 * Tells Discord which commands there are. Discord remembers them, so it is asked first, and told only what is new:
 * a start of the bot is no reason to write.
 */
import {
  type APIApplicationCommand,
  type REST,
  type RESTPostAPIApplicationCommandsJSONBody,
  Routes,
} from 'discord.js';
import { messageCommands, slashCommands } from '#commands/index.ts';
import { canonicalJson } from '#src/canonical.ts';
import { log } from '#src/doors/log.ts';
import { localised } from './localised.ts';

/** Discord leaves them out unless asked. */
const WITH_LOCALES = new URLSearchParams({ with_localizations: 'true' });

/** @returns whether anything was new */
export async function registerCommands(rest: REST, applicationId: string): Promise<boolean> {
  const wanted = [...slashCommands.values(), ...messageCommands.values()].map(({ data }) =>
    localised(data.toJSON()),
  );
  const route = Routes.applicationCommands(applicationId);
  const there = (await rest.get(route, { query: WITH_LOCALES })) as APIApplicationCommand[];
  if (sameCommands(wanted, there)) return false;
  await rest.put(route, { body: wanted });
  log.info({ commands: wanted.length }, 'commands registered');
  return true;
}

type Definition = RESTPostAPIApplicationCommandsJSONBody | APIApplicationCommand;

export function sameCommands(a: readonly Definition[], b: readonly Definition[]): boolean {
  const text = (all: readonly Definition[]) => all.map((one) => canonicalJson(essence(one))).sort();
  return text(a).join() === text(b).join();
}

/** What we write of a command or option. Discord adds ids and versions, and spells defaults out. */
const WRITTEN = new Set([
  ...['name', 'type', 'description', 'options', 'choices', 'value', 'required', 'autocomplete', 'nsfw'],
  ...['min_value', 'max_value', 'min_length', 'max_length', 'channel_types'],
  ...['name_localizations', 'description_localizations'],
  ...['default_member_permissions', 'contexts', 'integration_types'],
]);

function essence(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(essence);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, inner]) => WRITTEN.has(key) && !isDefault(key, inner))
      .map(([key, inner]) => [key, key.endsWith('_localizations') ? inner : essence(inner)]),
  );
}

/** Left out means the same. Only a slash command's `type`, 1, is ever left out; a menu entry's description is ''. */
function isDefault(key: string, value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === '') return true;
  if (key === 'type' && value === 1) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
