/**
 * Custom ids of buttons, selects and modals: `v1:<action>:<row id>[:<argument>]`.
 *
 * They hold no state but a row's id, so they work after any restart; and no rights: who may press is decided when it is
 * pressed, from the row. Anyone may forge one, so `parse` trusts nothing.
 */
import { z } from 'zod';

/** What can be pressed, and whose id it carries. */
export const actions = {
  'plan.run': 'batch', // argument: the plan's hash
  'plan.edit': 'batch', // opens a modal with the YAML; the modal's submit is `plan.edited`
  'plan.edited': 'batch',
  'plan.cancel': 'batch',
  'sweep.new': 'user', // submit of the modal of `/sweep` without a config
  'batch.stop': 'batch',
  'batch.cancel': 'batch',
  'pictures.page': 'batch', // select; its value is the page
  'pictures.pick': 'batch', // select; its value is a generation
  'pictures.again': 'batch', // all of them, with new seeds
  'sheet.page': 'batch', // select; its value is the contact sheet
  'sheet.use': 'batch', // opens a form that asks for a picture's number; its submit is `sheet.used`
  'sheet.used': 'batch',
  'picture.open': 'generation',
  'picture.again': 'generation',
  'picture.vary': 'generation',
  'picture.use': 'generation',
  'picture.delete': 'generation', // asks; the answers are `picture.deleted` and `picture.keep`
  'picture.deleted': 'generation',
  'picture.keep': 'generation',
  'picture.details': 'generation',
  'picture.publish': 'generation',
  'picture.unpublish': 'generation',
  'picture.curate': 'generation', // by who looks after the gallery, as the next two
  'picture.uncurate': 'generation',
  'picture.collection': 'generation', // select; its value is a collection
  'picture.decline': 'generation', // for the gallery, by who looks after it
  'picture.report': 'generation',
  'queue.cancel': 'user', // select; its values are batches
  'queue.post': 'user', // select; its values are deliveries
  'review.approve': 'review',
  'review.reject': 'review', // opens a modal for the reason; its submit is `review.rejected`
  'review.rejected': 'review',
  'consent.give': 'folder',
  'consent.cancel': 'folder',
  'guild.setup': 'guild', // shows what was found by its name, and asks
  'guild.adopt': 'guild',
  'settings.change': 'user', // select; its value is a parameter, for which it opens a form; its submit is `settings.changed`
  'settings.changed': 'user', // argument: the parameter
  'settings.reset': 'user', // select; its values are parameter names or `all`
} as const;

export type Action = keyof typeof actions;

export interface CustomId {
  readonly action: Action;
  /** a row's uuid, or a Discord id where the action is a user's or a guild's */
  readonly id: string;
  readonly argument: string | undefined;
}

const Parts = z.tuple([
  z.literal('v1'),
  z.enum(Object.keys(actions) as [Action, ...Action[]]),
  z.union([z.uuid(), z.string().regex(/^\d{17,20}$/)]),
  z
    .string()
    .regex(/^[a-zA-Z0-9_-]{1,32}$/)
    .optional(),
]);

/** At most 100 characters, as Discord takes. */
export function customId(action: Action, id: string, argument?: string): string {
  return ['v1', action, id, ...(argument === undefined ? [] : [argument])].join(':');
}

/** null: not one of ours, of an older version, or forged out of shape. */
export function parseCustomId(text: string): CustomId | null {
  const parts = Parts.safeParse(text.split(':'));
  if (!parts.success) return null;
  const [, action, id, argument] = parts.data;
  return { action, id, argument };
}
