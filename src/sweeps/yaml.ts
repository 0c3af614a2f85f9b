/**
 * What a person's YAML holds, or why it can't be read.
 *
 * The library's defaults are open to attack: nested aliases grow without end (now refused), `uniqueKeys` compares every
 * key with every other (now a Set), and pretty errors quote a line once for each error on it (now positions alone).
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { Say } from '#src/say.ts';
import { isKeepable } from '#src/text.ts';

/** Key, or index of a list's item → its line from 1, and the lines inside it, down to LINES_DEPTH. */
export type Lines = ReadonlyMap<string, { readonly line: number; readonly inner: Lines }>;

/** What a text holds, or why it does not parse. */
export type Parsed = { readonly value: unknown; readonly lines: Lines } | Unreadable;

export interface Unreadable {
  readonly line: number;
  readonly column: number;
  readonly reason: string;
}

/** `cells.3.steps` is the deepest that a sweep has. */
const LINES_DEPTH = 3;
const NO_LINES: Lines = new Map();

/** The parser's own reasons are in English. */
export function readYaml(text: string, say: Say): Parsed {
  const lineCounter = new LineCounter();
  const fault = (offset: number, reason: string): Parsed => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1), reason };
  };
  const tooDeep = say('it is nested too deep.');
  const unkeepable = say("a character here can't be kept, such as NUL or half of an emoji. Leave it out.");
  try {
    const document = parseDocument(text, {
      lineCounter,
      schema: 'core',
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'error', // `silent` would let a second document pass
    });
    // Comments are checked too: the text is kept as it is, to be edited.
    if (!isKeepable(text)) return fault(text.search(/\p{Cs}|\0/u), unkeepable);
    const [error] = document.errors;
    if (error) {
      const deep = error.message.includes('call stack');
      return fault(error.pos[0], deep ? tooDeep : `${error.message.replace(/\.?$/, '.')}`);
    }

    let refused: Parsed | undefined;
    visit(document, {
      Scalar(_, scalar) {
        if (isKeepable(String(scalar.value))) return;
        refused = fault(offsetOf(scalar), unkeepable);
        return visit.BREAK;
      },
      Alias(_, alias) {
        refused = fault(offsetOf(alias), say('aliases (`*name`) are not allowed. Write the value out.'));
        return visit.BREAK;
      },
      Map(_, map) {
        const seen = new Set<unknown>();
        for (const { key } of map.items) {
          if (isAlias(key)) continue;
          const word = isScalar(key) ? key.value : undefined;
          if (word === undefined || word === '__proto__')
            refused = fault(offsetOf(key), say('a key must be a word.'));
          else if (seen.has(word))
            refused = fault(
              offsetOf(key),
              say('the key `{key}` is there twice.', { key: String(word).slice(0, 40).replaceAll('`', '') }),
            );
          if (refused) return visit.BREAK;
          seen.add(word);
        }
      },
    });
    if (refused) return refused;

    // A tree: with whole paths as keys, a long key of a long list took the memory of both multiplied.
    const linesIn = (node: unknown, depth: number): Lines => {
      const children: [string, unknown, unknown][] = isMap(node)
        ? node.items.map(({ key, value }) => [String(isScalar(key) ? key.value : key), key, value])
        : isSeq(node)
          ? node.items.map((item, index) => [String(index), item, item])
          : [];
      if (!children.length || depth > LINES_DEPTH) return NO_LINES;
      return new Map(
        children.map(([name, at, value]) => {
          const { line } = lineCounter.linePos(offsetOf(at));
          return [name, { line, inner: linesIn(value, depth + 1) }];
        }),
      );
    };
    return { value: document.toJS({ maxAliasCount: 0 }), lines: linesIn(document.contents, 1) };
  } catch {
    // The only error that the parser throws instead of reporting it is the end of the stack.
    return { line: 1, column: 1, reason: tooDeep };
  }
}

function offsetOf(node: unknown): number {
  const range: unknown = typeof node === 'object' && node !== null && 'range' in node ? node.range : null;
  return Array.isArray(range) && typeof range[0] === 'number' ? range[0] : 0;
}
