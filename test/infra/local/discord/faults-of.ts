/** What the local Discord found wrong, as `path CODE`. */
import { DiscordError, Faults } from '#infra/local/discord/discord-error.ts';

export type Loose = Record<string, unknown>;

export function faultsOf(work: (faults: Faults) => unknown): string[] {
  const faults = new Faults();
  try {
    work(faults);
    faults.throwIfAny();
    return [];
  } catch (error) {
    if (!(error instanceof DiscordError)) throw error;
    return flat(error.errors as Loose, []);
  }
}

function flat(errors: Loose, path: readonly string[]): string[] {
  return Object.entries(errors).flatMap(([key, value]) =>
    key === '_errors'
      ? (value as { code: string }[]).map(({ code }) => `${path.join('.')} ${code}`)
      : flat(value as Loose, [...path, key]),
  );
}
