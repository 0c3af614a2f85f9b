/** Every command and everything that can be pressed. A list: an action without its handler does not compile. */
import type { Action } from '#src/custom-ids.ts';
import balance from './balance.ts';
import type { MessageCommand, PressHandler, SlashCommand } from './command.ts';
import describe from './describe.ts';
import detect from './detect.ts';
import { endingPresses } from './ending.ts';
import faces from './faces.ts';
import gallery from './gallery.ts';
import guild from './guild.ts';
import help from './help.ts';
import imagine from './imagine.ts';
import { cancelEntry, detailsEntry, reportEntry, rerunEntry } from './messages.ts';
import { picturePresses } from './pictures.ts';
import { planPresses } from './plan.ts';
import queue from './queue.ts';
import review, { reviewPresses } from './review.ts';
import rules from './rules.ts';
import set from './set.ts';
import settings from './settings.ts';
import sweep from './sweep.ts';
import testFaceMecene from './test_face_mecene.ts';
import tokens from './tokens.ts';
import { usePresses } from './use-settings.ts';

export const slashCommands = byName<SlashCommand>([
  imagine,
  set,
  settings,
  faces,
  testFaceMecene,
  sweep,
  queue,
  balance,
  gallery,
  guild,
  tokens,
  describe,
  detect,
  review,
  rules,
  help,
]);

export const messageCommands = byName<MessageCommand>([detailsEntry, rerunEntry, cancelEntry, reportEntry]);

export const presses: Readonly<Record<Action, PressHandler>> = {
  ...planPresses,
  ...endingPresses,
  ...picturePresses,
  ...usePresses,
  ...reviewPresses,
  ...settings.press,
  ...faces.press,
  ...sweep.press,
  ...queue.press,
  ...guild.press,
};

function byName<C extends SlashCommand | MessageCommand>(commands: readonly C[]): ReadonlyMap<string, C> {
  return new Map(commands.map((command) => [command.data.name, command]));
}
