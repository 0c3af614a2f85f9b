/** How a face folder may be called. */
import { UserError } from './errors.ts';
import { checkName } from './moderation/words.ts';
import { message } from './say.ts';

const NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/;

/** @throws {UserError} `folder_name`: a name stands in commands and YAML, so nothing else will do */
export function folderName(name: string): string {
  if (!NAME.test(name)) throw new UserError('folder_name', { name });
  return name;
}

/** Of a folder that is made, or gets photos: sheets and manifests show its name. @throws {UserError} `folder_name`, `name_blocked` */
export function newFolderName(name: string): string {
  checkName(folderName(name), message('The name of a folder'));
  return name;
}
