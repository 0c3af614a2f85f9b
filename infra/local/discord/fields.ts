/** Checks of single fields of a body. Each fault has Discord's code and sentence, and stands at its path. */
import type { Faults } from './discord-error.ts';

export type Json = { readonly [key: string]: unknown };
export type Path = readonly (string | number)[];

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface Range {
  readonly min: number;
  readonly max: number;
}

export class Fields {
  readonly faults: Faults;

  constructor(faults: Faults) {
    this.faults = faults;
  }

  list(path: Path, value: unknown, min: number, max: number): readonly unknown[] {
    const list = Array.isArray(value) ? value : [];
    if (list.length < min || list.length > max) {
      this.faults.add(path, 'BASE_TYPE_BAD_LENGTH', `Must be between ${min} and ${max} in length.`);
    }
    return list;
  }

  /** A text that must be there. */
  text1(path: Path, value: unknown, max: number): string {
    if (typeof value !== 'string' || !value) {
      this.faults.add(path, 'BASE_TYPE_REQUIRED', 'This field is required');
      return '';
    }
    return this.text0(path, value, max) ?? '';
  }

  /** A text that may be absent. */
  text0(path: Path, value: unknown, max: number): string | undefined {
    if (typeof value !== 'string') return;
    if (value.length > max) {
      this.faults.add(path, 'BASE_TYPE_MAX_LENGTH', `Must be ${max} or fewer in length.`);
    }
    return value;
  }

  /** A whole number that may be absent; Discord takes it as text too. */
  integer(path: Path, value: unknown, { min, max }: Range): number | undefined {
    return this.number(path, typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value, {
      min,
      max,
      whole: true,
    });
  }

  /** A number that may be absent. */
  number(path: Path, value: unknown, { min, max, whole = false }: Range & { whole?: boolean }) {
    if (value === undefined || value === null) return;
    const kind = whole ? 'int' : 'float';
    if (typeof value !== 'number' || (whole && !Number.isInteger(value))) {
      this.faults.add(path, 'NUMBER_TYPE_COERCE', `Value "${String(value)}" is not ${kind}.`);
      return;
    }
    if (value < min) {
      const sentence = `${kind} value should be greater than or equal to ${min}.`;
      this.faults.add(path, 'NUMBER_TYPE_MIN', sentence);
    } else if (value > max) {
      this.faults.add(path, 'NUMBER_TYPE_MAX', `${kind} value should be less than or equal to ${max}.`);
    }
    return value;
  }

  /** Something that is one of these. */
  choice(path: Path, value: unknown, choices: readonly unknown[]): void {
    if (choices.includes(value)) return;
    this.faults.add(path, 'BASE_TYPE_CHOICES', `Value must be one of {${choices.join(', ')}}.`);
  }

  /** True, false or absent. */
  flag(path: Path, value: unknown): void {
    if (value === undefined || value === null || typeof value === 'boolean') return;
    this.faults.add(path, 'BOOLEAN_TYPE_CONVERT', 'Must be either true or false.');
  }

  /** An address with one of these schemes. */
  url(path: Path, value: unknown, schemes: readonly string[], max: number): void {
    const text = this.text1(path, value, max);
    if (!text) return;
    const scheme = URL.parse(text)?.protocol.slice(0, -1);
    if (!scheme) this.faults.add(path, 'URL_TYPE_INVALID_URL', 'Not a well formed URL.');
    else if (!schemes.includes(scheme)) {
      const listed = schemes.map((one) => `'${one}'`).join(', ');
      const sentence = `Scheme "${scheme}" is not supported. Scheme must be one of (${listed}).`;
      this.faults.add(path, 'URL_TYPE_INVALID_SCHEME', sentence);
    }
  }
}
