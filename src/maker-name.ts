/** What somebody may be called in the gallery. */
import { UserError } from './errors.ts';
import { checkName } from './moderation/words.ts';
import { message } from './say.ts';

const NAME = /^[a-z0-9][a-z0-9_-]{1,31}$/;

/** @throws {UserError} `maker_name`: it stands in addresses, and nobody is to look like another; `name_blocked` */
export function makerName(text: string): string {
  const name = text.toLowerCase();
  if (!NAME.test(name)) throw new UserError('maker_name', { name: text });
  checkName(name, message('The name'));
  return name;
}
