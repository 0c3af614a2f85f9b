/** Every command and everything that can be pressed. A list, so that a missing one does not compile. */
import type { MessageCommand, Presses, SlashCommand } from './command.ts';
import imagine from './imagine.ts';
import set from './set.ts';

const slash: readonly SlashCommand[] = [imagine, set];
const message: readonly MessageCommand[] = [];

export const slashCommands: ReadonlyMap<string, SlashCommand> = byName(slash);
export const messageCommands: ReadonlyMap<string, MessageCommand> = byName(message);

export const presses: Presses = {};

function byName<C extends SlashCommand | MessageCommand>(commands: readonly C[]): ReadonlyMap<string, C> {
  return new Map(commands.map((command) => [command.data.name, command]));
}
