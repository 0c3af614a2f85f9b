/** A picture asked for in an ordinary channel, without a face, in a guild that sets nothing. */
import type { Circumstances } from '#src/moderation/verdicts.ts';

export const usualPlace: Circumstances = { ageRestricted: false, faceAsked: false, guild: {} };
