p='/work/main/src/sweeps.ts'
s=open(p).read()
i=s.index('/** A fault of one axis or setting;')
s=s[:i]+'''/** A fault of one axis or setting. Its message is a sentence that is told beside others. */
class AxisFault extends Error {
  constructor(name: string, says: string) {
    super(`\\`${name}\\` ${says}`);
  }
}

function planFaults(faults: readonly string[]): UserError {
  const more = faults.length - FAULTS_MAX;
  const told = more > 0 ? [...faults.slice(0, FAULTS_MAX), `… and ${more} more.`] : [...faults];
  return new UserError('plan_faults', { faults: told });
}

/** What zod found, one sentence a fault. */
function sentences(issue: z.core.$ZodIssue, lines: Lines): string[] {
  const path = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const known = (path ? ['from', 'to', 'step'] : Object.keys(Sweep.shape)).map((key) => `\\`${key}\\``);
    return issue.keys.map((key) => {
      const line = lineOf(path ? `${path}.${key}` : key, lines);
      return `${line}${quote(key)} is not known here. There are ${known.join(', ')}.`;
    });
  }
  return [`${lineOf(path, lines)}${path ? quote(path) : 'A sweep'} ${issue.message}.`];
}

/** `Line 7: `, of the deepest part of a path that has a line. */
function lineOf(path: string, lines: Lines): string {
  for (let at = path; at; at = at.slice(0, Math.max(0, at.lastIndexOf('.')))) {
    const line = lines.get(at);
    if (line !== undefined) return `Line ${line}: `;
  }
  return '';
}
'''
s=s.replace('''      if (!(error instanceof UserError)) throw error;
      fault(path, error.userMessage);
''','''      if (error instanceof AxisFault) fault(path, error.message);
      else if (error instanceof UserError) fault(path, error.userMessage);
      else throw error;
''')
s=s.replace("function tooMany(name: string, count: number): UserError {","function tooMany(name: string, count: number): AxisFault {")
s=s.replace("/** @throws {UserError} as `parseParameter`, and `plan_faults` */","/** @throws {UserError} as `parseParameter` @throws {AxisFault} */")
s=s.replace("import { UserError } from './errors.ts';","import { quote, UserError } from './errors.ts';")
open(p,'w').write(s)
