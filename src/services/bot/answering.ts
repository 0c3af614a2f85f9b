/**
 * All that answers interactions, and what it needs: most of what a bot loads. Apart, so that it is loaded while the shards connect, which
 * nothing of it is needed for.
 */
import { messageCommands, presses, slashCommands } from '#commands/index.ts';
import { answersOf } from './first-answer.ts';

export { POSTING } from '#commands/permissions.ts';
export { meetGuild } from '#src/guilds.ts';
export { prepareRules } from '#src/moderation/words.ts';
export { keepToRules } from '../rules.ts';
export { dispatch } from './dispatch.ts';
export { registerCommands } from './register.ts';

export const answers = answersOf(slashCommands, messageCommands, presses);
