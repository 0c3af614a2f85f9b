/** What storage holds. */
import { listFiles } from '#src/doors/storage.ts';

/** Keys of all files in some folders of storage, sorted. */
export async function filesIn(...folders: readonly string[]): Promise<string[]> {
  const keys: string[] = [];
  for (const folder of folders) for await (const key of listFiles(folder)) keys.push(key);
  return keys.sort();
}
