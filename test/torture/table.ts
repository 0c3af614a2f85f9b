/** What a reader found, as a person reads it. */
import type { Findings } from './reader/reader.ts';

/** What logs may come to. */
export interface Bound {
  readonly bytes: number;
  /** of the same warning within a second */
  readonly times: number;
}

/** A service says some hundred things a minute; what repeats comes once a second at most. */
export function boundOf(minutes: number): Bound {
  return { bytes: Math.round((200 + 100 * minutes) * 1_000), times: 1 };
}

/** Faults of each kind that are told in full. */
const TOLD = 8;

export function table(
  { faults, logs, ...counts }: Findings,
  bound: Bound,
): { text: string; isGood: boolean } {
  const { longest, mostRepeated } = logs;
  const isShort = longest.bytes <= bound.bytes && mostRepeated.times <= bound.times;
  const kinds = Object.entries(faults);
  const rows: [string, string][] = [
    ['accepted', String(counts.accepted)],
    ['refused with a sentence', String(counts.refused)],
    ...kinds.map(([name, list]): [string, string] => [name, String(list.length)]),
    ['longest log', `${kilobytes(longest.bytes)} of ${kilobytes(bound.bytes)} (${longest.file})`],
    ['the same warning in a second', `${mostRepeated.times} of ${bound.times} (${mostRepeated.line})`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const told = kinds.flatMap(([name, list]) => [
    ...(list.length ? [`\n${name}:`] : []),
    ...list.slice(0, TOLD).map((one) => `  ${one}`),
    ...(list.length > TOLD ? [`  … and ${list.length - TOLD} more`] : []),
  ]);
  const beside = `Beside that: ${counts.unansweredWhileDown} unanswered while the bot was down, ${counts.failed} pictures failed and given back.`;
  return {
    text: [...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`), '', beside, ...told].join('\n'),
    isGood: isShort && kinds.every(([, list]) => list.length === 0),
  };
}

function kilobytes(bytes: number): string {
  return `${Math.ceil(bytes / 1_000).toLocaleString('en')} kB`;
}
