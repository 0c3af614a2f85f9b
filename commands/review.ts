/** A moderator's decision on a flagged picture. The card itself is the courier's, and changes once it is decided. */
import { LabelBuilder, ModalBuilder, TextInputBuilder, TextInputStyle } from 'discord.js';
import { customId } from '#src/custom-ids.ts';
import { decide } from '#src/moderation/moderation.ts';
import { mustBeModerator } from '#src/people/people.ts';
import type { Presses } from './command.ts';

const REASON = 'reason';
const REASON_MAX = 500;

export const reviewPresses = {
  'review.approve': {
    answers: 'reply',
    async run({ id, asking: { actor } }) {
      await decide(actor, id, 'approved', null);
      return 'Approved: the picture is delivered to who asked for it.';
    },
  },
  'review.reject': {
    answers: 'form',
    async form({ id, asking: { actor } }) {
      await mustBeModerator(actor);
      const reason = new TextInputBuilder()
        .setCustomId(REASON)
        .setStyle(TextInputStyle.Paragraph)
        .setMaxLength(REASON_MAX)
        .setRequired(false);
      return new ModalBuilder()
        .setCustomId(customId('review.rejected', id))
        .setTitle('Reject the picture')
        .addLabelComponents(
          new LabelBuilder()
            .setLabel('Reason')
            .setDescription('Kept with the decision, and told to who asked.')
            .setTextInputComponent(reason),
        );
    },
  },
  'review.rejected': {
    answers: 'reply',
    async run({ id, interaction, asking: { actor } }) {
      const reason = interaction.isModalSubmit() ? interaction.fields.getTextInputValue(REASON).trim() : '';
      await decide(actor, id, 'rejected', reason || null);
      return 'Rejected: the picture is deleted, and who asked for it has a strike.';
    },
  },
} satisfies Presses;
