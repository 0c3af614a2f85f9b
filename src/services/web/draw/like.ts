/** "Draw one like this": what a picture was asked with, to fill the form in. Others' prompts and parameters are theirs. */
import { z } from 'zod';
import { findPublished } from '#src/gallery.ts';
import { pictureOfImage } from '#src/generations/pictures.ts';
import { parameters, type ResolvedParameters } from '#src/parameters/definitions.ts';
import type { Visitor } from '#src/people/sessions.ts';
import type { Typed } from './form.ts';

const Id = z.uuid();

/** @returns null where there is no such picture, or they may not see what it was asked with */
export async function likeOf(visitor: Visitor | null, imageId: unknown): Promise<Typed | null> {
  const id = Id.safeParse(imageId);
  if (!id.success) return null;
  const own = visitor && (await pictureOfImage(id.data));
  if (own && own.userId === visitor.userId && own.image && !own.image.deletedAt)
    return typedOf(own.prompt, own.parameters as ResolvedParameters, own.bundle);
  const published = await findPublished(id.data);
  return published?.shared
    ? typedOf(published.shared.prompt, published.shared.parameters, published.bundle)
    : null;
}

/** Without the seed: one like it, not it again. What is the default is left as it is for whoever asks. */
function typedOf(prompt: string, values: ResolvedParameters, bundle: string): Typed {
  const typed: Record<string, string> = { prompt, bundle };
  for (const [name, parameter] of parameters) {
    const value = values[name];
    if (parameter.operators || ['seed', 'tier', 'bundle'].includes(name)) continue;
    if (value === undefined || value === null || value === parameter.default) continue;
    typed[name] = typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
  }
  return typed;
}
