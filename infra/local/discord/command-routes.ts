/** The routes that register commands, globally and for one guild. */
import { inLanguage, registerCommands } from './commands.ts';
import { invalid, refusals } from './discord-error.ts';
import { type Call, objectBody, type Route } from './rest.ts';
import { created, del, done, get, guildOf, ok, patch, post, put } from './routing.ts';
import type { State } from './state.ts';

export function commandRoutes(state: State): Route[] {
  function application({ params }: Call): void {
    if (params.application_id !== state.world.applicationId) throw refusals.missingAccess();
  }

  function commandOf(call: Call) {
    application(call);
    const command = state.commands.get(call.params.command_id!);
    if (!command || command.guild_id !== call.params.guild_id) throw refusals.unknownCommand();
    return command;
  }

  function routesUnder(base: string): Route[] {
    const guildId = (call: Call) => {
      application(call);
      return call.params.guild_id === undefined ? undefined : guildOf(state, call).id;
    };
    const all = (id: string | undefined) => [...state.commands.values()].filter((one) => one.guild_id === id);
    return [
      get(base, (call) => {
        const listed = all(guildId(call));
        const whole = /^(true|1)$/i.test(call.query.get('with_localizations') ?? '');
        return ok(whole ? listed : inLanguage(listed, call.locale));
      }),
      put(base, (call) => {
        if (!Array.isArray(call.body)) throw invalid([], 'LIST_TYPE_CONVERT', 'Only lists may be used here.');
        return ok(registerCommands(state, guildId(call), call.body, true));
      }),
      post(base, (call) => {
        const id = guildId(call);
        const before = all(id).length;
        const [command] = registerCommands(state, id, [objectBody(call)], false);
        return all(id).length > before ? created(command) : ok(command);
      }),
      get(`${base}/{command_id}`, (call) => ok(commandOf(call))),
      patch(`${base}/{command_id}`, (call) => {
        const { id, application_id: _, version: __, guild_id, ...before } = commandOf(call);
        const [command] = registerCommands(state, guild_id, [{ ...before, ...objectBody(call) }], false);
        // Renamed, it is still the same command.
        if (command!.id !== id) {
          state.deleteCommand(command!.id);
          state.setCommands(guild_id, [{ ...command!, id }], false);
        }
        return ok({ ...command!, id });
      }),
      del(`${base}/{command_id}`, (call) => {
        state.deleteCommand(commandOf(call).id);
        return done;
      }),
    ];
  }

  return [
    ...routesUnder('/applications/{application_id}/commands'),
    get('/applications/{application_id}/guilds/{guild_id}/commands/permissions', () => ok([])),
    ...routesUnder('/applications/{application_id}/guilds/{guild_id}/commands'),
  ];
}
