/** Labels of coordinates: what stands beside a row or column of a contact sheet. */

/** Longest label of a coordinate, in characters. */
export const LABEL_LENGTH = 60;

/** The number tells labels apart that begin alike. */
export function label(number: number, text: string): string {
  const letters = [...`${number}: ${text}`];
  if (letters.length <= LABEL_LENGTH) return letters.join('');
  return `${letters
    .slice(0, LABEL_LENGTH - 1)
    .join('')
    .trimEnd()}…`;
}
