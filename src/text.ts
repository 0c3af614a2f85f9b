/** Whether Postgres can keep a text: it takes no NUL, and JSON no half of a surrogate pair. */
export function isKeepable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
