/** What `npm run bundle -- …` can do is a file each, whose default export is one of these. */

/** @returns the exit status */
export type Command = (args: readonly string[]) => Promise<number>;
