/**
 * What can be typed and pressed, as types. A command returns what to answer; only `src/services/bot/` talks to
 * Discord, so acknowledging in time and explaining errors is written once.
 */
import type {
  AutocompleteInteraction,
  ChatInputCommandInteraction,
  InteractionEditReplyOptions,
  MessageComponentInteraction,
  MessageContextMenuCommandInteraction,
  ModalBuilder,
  ModalSubmitInteraction,
  RESTPostAPIChatInputApplicationCommandsJSONBody,
  RESTPostAPIContextMenuApplicationCommandsJSONBody,
} from 'discord.js';
import type { Action } from '#src/custom-ids.ts';
import type { Suggestion } from '#src/parameters/suggestions.ts';
import type { Origin } from '#src/people/people.ts';

/** Seen only by the person who asked: the courier posts pictures for everybody. What is left out is cleared. */
export type Answer = string | Pick<InteractionEditReplyOptions, 'content' | 'components' | 'files'>;

/** `/name`. Deferred before `run`, so `run` may take its time. */
export interface SlashCommand {
  readonly data: { readonly name: string; toJSON(): RESTPostAPIChatInputApplicationCommandsJSONBody };
  run(interaction: ChatInputCommandInteraction, origin: Origin): Promise<Answer>;
  /** A form that it opens instead of running, unless any of these options is given. */
  readonly form?: {
    readonly unless: readonly string[];
    open(interaction: ChatInputCommandInteraction): ModalBuilder;
  };
  /** At most 25 are shown. */
  autocomplete?(interaction: AutocompleteInteraction): Promise<readonly Suggestion[]>;
  readonly press?: Presses;
}

/** An entry of a message's Apps menu. */
export interface MessageCommand {
  readonly data: { readonly name: string; toJSON(): RESTPostAPIContextMenuApplicationCommandsJSONBody };
  run(interaction: MessageContextMenuCommandInteraction, origin: Origin): Promise<Answer>;
}

/** A button, a select or a sent form. Who may press it is decided by its handler, from the row. */
export interface Press {
  /** from the custom id */
  readonly id: string;
  /** from the custom id */
  readonly argument: string | undefined;
  /** chosen in a select */
  readonly values: readonly string[];
  readonly interaction: MessageComponentInteraction | ModalSubmitInteraction;
  readonly origin: Origin;
}

export type PressHandler =
  /** `update` replaces the message that was pressed, or with null leaves it; `reply` answers below it. */
  | { readonly answers: 'update'; run(press: Press): Promise<Answer | null> }
  | { readonly answers: 'reply'; run(press: Press): Promise<Answer> }
  /** Opens a form, which must come within 3 s. */
  | { readonly answers: 'form'; form(press: Press): Promise<ModalBuilder> };

export type Presses = { readonly [A in Action]?: PressHandler };
