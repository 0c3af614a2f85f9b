/** A moderator's decision on a flagged picture. The card itself is the courier's, and changes once it is decided. */
import { LabelBuilder, ModalBuilder, TextInputBuilder, TextInputStyle } from 'discord.js';
import { customId } from '#src/custom-ids.ts';
import { decide, reviewFor } from '#src/moderation/reviews.ts';
import type { Presses } from './command.ts';

const REASON = 'reason';
const REASON_MAX = 500;

export const reviewPresses = {
  'review.approve': {
    answers: 'reply',
    async run({ id, origin: { actor, say } }) {
      await decide(actor, id, 'approved', null);
      return say('Approved: the picture is delivered to the person who asked for it.');
    },
  },
  'review.reject': {
    answers: 'form',
    async form({ id, origin: { actor, say } }) {
      await reviewFor(actor, id);
      const reason = new TextInputBuilder()
        .setCustomId(REASON)
        .setStyle(TextInputStyle.Paragraph)
        .setMaxLength(REASON_MAX)
        .setRequired(false);
      return new ModalBuilder()
        .setCustomId(customId('review.rejected', id))
        .setTitle(say('Reject the picture'))
        .addLabelComponents(
          new LabelBuilder()
            .setLabel(say('Reason'))
            .setDescription(say('Kept with the decision, and told to the person who asked.'))
            .setTextInputComponent(reason),
        );
    },
  },
  'review.rejected': {
    answers: 'reply',
    async run({ id, interaction, origin: { actor, say } }) {
      const reason = interaction.isModalSubmit() ? interaction.fields.getTextInputValue(REASON).trim() : '';
      await decide(actor, id, 'rejected', reason || null);
      return say('Rejected: the picture is deleted, and the person who asked for it has a strike.');
    },
  },
} satisfies Presses;
