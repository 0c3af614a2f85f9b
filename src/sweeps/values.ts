/** The values of one axis: a list, or a range that stands for one. */
import type { ParameterJson } from '#config/parameters.ts';
import { parameters } from '#src/parameters/definitions.ts';
import { AxisFault } from './faults.ts';
import { VALUES_MAX, type WrittenValues } from './schema.ts';

/** `[10, 20, 30]`, `"10, 20, .., 30"` and `{ from: 10, to: 30, step: 10 }` are the same. @throws {AxisFault} */
export function spread(name: string, given: WrittenValues): readonly ParameterJson[] {
  if (Array.isArray(given)) return given;
  if (given !== null && typeof given === 'object') return stepped(name, given.from, given.to, given.step);
  // A comma in a negative prompt is a comma.
  if (typeof given !== 'string' || parameters.get(name)?.type === 'text') return [given];
  const parts = given.split(',').map((part) => part.trim());
  const dots = parts.findIndex((part) => part === '..' || part === '...');
  if (dots < 0) {
    if (parts.length > VALUES_MAX) throw tooMany(name, parts.length);
    return parts;
  }
  const [from, second, to] = [dots - 2, dots - 1, dots + 1].map((at) => Number(parts[at] || Number.NaN));
  if (dots !== parts.length - 2 || ![from, second, to].every(Number.isFinite))
    throw new AxisFault((say) =>
      say('`{name}` is not a range that I can read: write it as `0.2, 0.4, .., 0.8`.', { name }),
    );
  return [...parts.slice(0, dots - 2), ...stepped(name, from!, to!, second! - from!)];
}

function stepped(name: string, from: number, to: number, step: number): number[] {
  // A hair more than the quotient: (0.8 − 0.2) ÷ 0.2 is 2.9999999999999996.
  const count = Math.floor((to - from) / step + 1e-9) + 1;
  if (!Number.isFinite(count) || count < 1)
    throw new AxisFault((say) =>
      say('`{name}` is a range that never gets from its start to its end.', { name }),
    );
  if (count > VALUES_MAX) throw tooMany(name, count);
  return Array.from({ length: count }, (_, i) => {
    const value = from + i * step;
    // 1 + 10 × (0.9 − 1) is to be 0, and by twelve digits 0.1 + 2 × 0.1 is to be 0.3.
    return Math.abs(value) < Math.abs(step) / 1e9 ? 0 : Number(value.toPrecision(12));
  });
}

function tooMany(name: string, count: number): AxisFault {
  const facts = { name, count, max: VALUES_MAX };
  return new AxisFault((say) => say('`{name}` has {count, number} values, and {max} is the most.', facts));
}
