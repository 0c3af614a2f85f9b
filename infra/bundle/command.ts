/** What `npm run bundle -- …` can do: each command is a file whose default export is one of these. */

/** @returns the exit status */
export type Command = (args: readonly string[]) => Promise<number>;
