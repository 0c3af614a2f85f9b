/** The API page's examples, as code to be run. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };

/** The text of an example. @param id of its `<pre>` */
export function exampleIn(page: string, id: string): string {
  const [, text] = new RegExp(`<pre[^>]* id="${id}">([^<]*)</pre>`).exec(page) ?? [];
  if (text === undefined) throw new Error(`The page has no example ${id}`);
  return text.replaceAll(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => ENTITIES[name]!);
}

/** A folder with these files, for a test. @returns its path */
export async function folderFor(files: Readonly<Record<string, string | Buffer>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atelier-example-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

/** An example that is a module, loaded. */
export async function moduleIn<T>(page: string, id: string): Promise<T> {
  return (await import(join(await folderFor({ 'example.ts': exampleIn(page, id) }), 'example.ts'))) as T;
}
