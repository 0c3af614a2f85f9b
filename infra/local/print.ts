/** What a person in the terminal reads. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Says what takes longer than a second, and for how long. */
export async function printWhile<T>(what: string, work: Promise<T>): Promise<T> {
  const startedAt = Date.now();
  const timer = setInterval(() => print(`${what} … ${Math.round((Date.now() - startedAt) / 1000)} s`), 1_000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}
