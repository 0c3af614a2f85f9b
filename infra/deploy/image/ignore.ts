/**
 * Reads .dockerignore, as far as ours goes: `*`, a path, `**` before a name, and `!` before any of them. The last line that fits decides.
 * Source: https://docs.docker.com/build/concepts/context/#dockerignore-files
 */

/** @returns whether a path, relative to the context, is left out. @throws {Error} for a pattern that is not known here */
export function parseIgnore(text: string): (path: string) => boolean {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line && !line.startsWith('#'))
    .map((line) => {
      const pattern = line.replace(/^!/, '');
      return { keeps: line.startsWith('!'), fits: fitsOf(pattern) };
    });
  return (path) => {
    const last = rules.findLast(({ fits }) => fits(path));
    return last ? !last.keeps : false;
  };
}

/** A folder's pattern fits all that is in it. */
function fitsOf(pattern: string): (path: string) => boolean {
  if (pattern === '*') return () => true;
  const [, name] = /^\*\*\/([^*?[/]+)$/.exec(pattern) ?? [];
  if (name !== undefined) return (path) => path.split('/').includes(name);
  if (/[*?[\\]/.test(pattern)) throw new Error(`.dockerignore: ${pattern} is not known here`);
  return (path) => path === pattern || path.startsWith(`${pattern}/`);
}
