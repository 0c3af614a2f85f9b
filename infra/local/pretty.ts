/** A line of a log as a person reads it: `12:03:04 worker  info  drawn { steps: 20 }`. */
import { inspect, styleText } from 'node:util';
import { z } from 'zod';

const COLOURS: Readonly<Record<string, Parameters<typeof styleText>[0]>> = {
  bot: 'blue',
  worker: 'magenta',
  courier: 'cyan',
  mecene: 'green',
  web: 'yellow',
};
const LEVELS: Readonly<Record<number, readonly [name: string, style: Parameters<typeof styleText>[0]]>> = {
  20: ['debug', 'dim'],
  30: ['info', 'reset'],
  40: ['warn', ['black', 'bgYellow']],
  50: ['error', ['white', 'bgRed']],
};

const Entry = z.looseObject({
  level: z.number(),
  time: z.number(),
  pid: z.unknown(),
  service: z.string().optional(),
  msg: z.string().default(''),
  err: z.looseObject({ stack: z.string() }).optional(),
});

/** @param names of the services that share the process; what is not of the log (a crash, a debugger) is of all of them */
export function pretty(line: string, names: readonly string[], coloured: boolean): string {
  const paint = (style: Parameters<typeof styleText>[0], text: string) =>
    coloured ? styleText(style, text, { validateStream: false }) : text;
  const begin = (time: Date, service: string, level: string) => {
    const clock = paint('dim', time.toTimeString().slice(0, 8));
    return `${clock} ${paint(COLOURS[service] ?? 'bold', service.padEnd(7))} ${level}`;
  };

  const entry = Entry.safeParse(parsed(line));
  if (!entry.success) return `${begin(new Date(), names.join(' '), '     ')}  ${line}`;
  const { level, time, pid: _, service = names.join(' '), msg, err, ...facts } = entry.data;
  const [name, style] = LEVELS[level] ?? ['', 'reset'];
  const told = Object.keys(facts).length
    ? ` ${inspect(facts, { colors: coloured, breakLength: Number.POSITIVE_INFINITY, depth: 4 })}`
    : '';
  const stack = err ? `\n${err.stack.replace(/^/gm, '    ')}` : '';
  return `${begin(new Date(time), service, paint(style, name.padEnd(5)))}  ${msg}${told}${stack}`;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
