/** What a person lets an application see of them (OAuth2). */

/** Those that mean something here. */
export const SCOPES = ['identify', 'guilds', 'email'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who has a bearer token, and what they let the application see. */
export interface Bearer {
  readonly userId: string;
  readonly scopes: readonly Scope[];
}
