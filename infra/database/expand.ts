/**
 * Migrations expand first and contract later: while a deploy goes on, and after one that was rolled back, the version before runs on the
 * new tables. `npm run check -- migrations` refuses one that breaks it, or that holds up everyone who writes into a large table.
 *
 * What removes something says so in its first lines, `-- contract: <why no version that runs needs it any more>`; what locks and may,
 * `-- locks: <why that is short>`.
 */
import { type Migration, readMigrations } from '#src/doors/migrate.ts';

/** Those up to this one are older than the rule. */
const LAST_BEFORE = '20261201013000_identify_turns';
/** Tables that grow with what people do. */
const LARGE = ['Batch', 'Generation', 'Image', 'Delivery', 'TokenEntry', 'AuditEvent', 'User', 'Session'];

const NAME = String.raw`"?(?<table>\w+)"?`;
const TABLE = String.raw`ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?${NAME}`;

interface Rule {
  readonly kind: 'contract' | 'locks';
  readonly matches: RegExp;
  readonly why: string;
}

/** What each action of an ALTER TABLE, or a statement, may not be. On a table that the same migration makes, anything goes. */
const STATEMENTS: readonly Rule[] = [
  rule(
    'contract',
    String.raw`^DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?${NAME}`,
    'drops a table that the version before reads',
  ),
  rule('contract', String.raw`^TRUNCATE\s+(?:TABLE\s+)?${NAME}`, 'empties a table'),
  rule(
    'contract',
    String.raw`^DROP\s+TYPE\s+(?:IF\s+EXISTS\s+)?${NAME}`,
    'drops a type that the version before names',
  ),
  rule('contract', String.raw`^ALTER\s+TYPE\s+${NAME}\s+RENAME`, 'renames what the version before names'),
  rule(
    'contract',
    String.raw`^DROP\s+(?:FUNCTION|TRIGGER|VIEW)\s+(?:IF\s+EXISTS\s+)?${NAME}`,
    'drops what the version before calls',
  ),
  rule(
    'locks',
    String.raw`^CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)(?:IF\s+NOT\s+EXISTS\s+)?(?:"?\w+"?\s+)?ON\s+(?:ONLY\s+)?${NAME}`,
    'keeps everyone from writing until the index is made: CREATE INDEX CONCURRENTLY, alone in its migration',
  ),
  rule(
    'contract',
    String.raw`^CREATE\s+UNIQUE\s+INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?:"?\w+"?\s+)?ON\s+(?:ONLY\s+)?${NAME}`,
    'refuses rows that the version before may write',
  ),
];
const ACTIONS: readonly Rule[] = [
  rule(
    'contract',
    String.raw`^DROP\s+(?:COLUMN\s+)?(?!CONSTRAINT\b|DEFAULT\b)`,
    'drops a column that the version before reads',
  ),
  rule('contract', String.raw`^RENAME\b`, 'renames what the version before names'),
  rule(
    'contract',
    String.raw`^ADD\s+(?!CONSTRAINT\b|PRIMARY\b|UNIQUE\b|CHECK\b|FOREIGN\b)(?=.*\bNOT\s+NULL\b)(?!.*\b(?:DEFAULT|GENERATED|SERIAL|BIGSERIAL)\b)`,
    'adds a column that must be given: the version before does not know it. Add a default, or let it be null',
  ),
  rule(
    'contract',
    String.raw`^ALTER\s+(?:COLUMN\s+)?"?\w+"?\s+SET\s+NOT\s+NULL`,
    'asks for what the version before may leave out',
  ),
  rule(
    'contract',
    String.raw`^ALTER\s+(?:COLUMN\s+)?"?\w+"?\s+DROP\s+DEFAULT`,
    'asks for what the version before may leave out',
  ),
  rule(
    'contract',
    String.raw`^ALTER\s+(?:COLUMN\s+)?"?\w+"?\s+(?:SET\s+DATA\s+)?TYPE\b`,
    'changes a type that the version before knows',
  ),
  rule(
    'locks',
    String.raw`^ADD\s+(?:CONSTRAINT\s+"?\w+"?\s+)?(?:CHECK|FOREIGN)\b(?!.*\bNOT\s+VALID\b)`,
    'reads the whole table while nobody may write: add it NOT VALID, and VALIDATE CONSTRAINT in the next migration',
  ),
  rule(
    'locks',
    String.raw`^ADD\s+(?:CONSTRAINT\s+"?\w+"?\s+)?(?:UNIQUE|PRIMARY)\b(?!.*\bUSING\s+INDEX\b)`,
    'makes an index while nobody may write: make it CONCURRENTLY first, and add the constraint USING INDEX',
  ),
];

/** A sentence for each statement, in migrations after the rule, that the version before or those who write would not outlive. */
export async function migrationFaults(migrations?: readonly Migration[]): Promise<string[]> {
  return (migrations ?? (await readMigrations()))
    .filter(({ name }) => name > LAST_BEFORE)
    .flatMap(({ name, sql }) => faultsOf(sql).map((fault) => `${name}: ${fault}`));
}

function faultsOf(sql: string): string[] {
  const marks = marksOf(sql);
  const statements = statementsOf(sql);
  const made = new Set(
    statements.flatMap((one) => /^CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"?(\w+)"?/i.exec(one)?.[1] ?? []),
  );
  const faults: string[] = [];
  for (const statement of statements) {
    const found = [
      ...STATEMENTS.flatMap((one) => {
        const table = one.matches.exec(statement)?.groups?.table;
        return table === undefined ? [] : [{ ...one, table, text: statement }];
      }),
      ...actionsOf(statement).flatMap(({ table, action }) =>
        ACTIONS.filter(({ matches }) => matches.test(action)).map((one) => ({
          ...one,
          table,
          text: `ALTER TABLE "${table}" ${action}`,
        })),
      ),
    ];
    for (const { kind, why, table, text } of found) {
      if (made.has(table) || marks.has(kind) || (kind === 'locks' && !LARGE.includes(table))) continue;
      faults.push(
        `"${text.replace(/\s+/g, ' ').slice(0, 90)}" ${why}; or mark it \`-- ${kind}: why it may\``,
      );
    }
  }
  if (/\bCONCURRENTLY\b/i.test(statements.join()) && statements.length > 1)
    faults.push('what is done CONCURRENTLY is alone in its migration, as it is in no transaction');
  return faults;
}

/** Of the comment that a migration begins with; a mark without a reason is none. */
function marksOf(sql: string): ReadonlySet<string> {
  const [head = ''] = /^(?:\s*--.*\n?)*/.exec(sql) ?? [];
  return new Set([...head.matchAll(/^\s*--\s*(contract|locks):\s*\S+/gm)].map(([, kind = '']) => kind));
}

/** Without comments; what stands in quotes, or between `$$`, ends none. */
function statementsOf(sql: string): string[] {
  const parts =
    sql.match(/--[^\n]*|\/\*[\s\S]*?\*\/|\$\$[\s\S]*?\$\$|'(?:[^']|'')*'|;|[^;'$/-]+|[\s\S]/g) ?? [];
  const text = parts.map((part) => (/^(--|\/\*)/.test(part) ? ' ' : part === ';' ? '\u0000' : part)).join('');
  return text
    .split('\u0000')
    .map((one) => one.trim())
    .filter(Boolean);
}

/** `ALTER TABLE t a, b` are two; commas in brackets are their own. */
function actionsOf(statement: string): { table: string; action: string }[] {
  const head = new RegExp(String.raw`^${TABLE}\s+`, 'i').exec(statement);
  const table = head?.groups?.table;
  if (!head || table === undefined) return [];
  let depth = 0;
  const cut = [...statement.slice(head[0].length)].map((char) => {
    depth += char === '(' ? 1 : char === ')' ? -1 : 0;
    return char === ',' && depth === 0 ? '\u0000' : char;
  });
  return cut
    .join('')
    .split('\u0000')
    .map((action) => ({ table, action: action.trim() }));
}

function rule(kind: Rule['kind'], matches: string, why: string): Rule {
  return { kind, matches: new RegExp(matches, 'is'), why };
}
