/**
 * The door to "Sign in with Discord": OAuth2's authorization code grant with PKCE and state, by openid-client. Discord says who somebody
 * is, and then its token is not kept: nothing is done in their name.
 */
import {
  AuthorizationResponseError,
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  ClientError,
  ClientSecretBasic,
  Configuration,
  calculatePKCECodeChallenge,
  fetchProtectedResource,
  ResponseBodyError,
} from 'openid-client';
import { z } from 'zod';
import { config } from '#config/env.ts';

/** For Discord to answer. s */
const ANSWERS_WITHIN_S = 10;

/** What of `/users/@me` is read. */
const Me = z.object({
  id: z.string().regex(/^\d{15,20}$/),
  username: z.string(),
  global_name: z.string().nullish(),
  locale: z.string().max(10).catch('en-US'),
});

/** Who Discord says that somebody is. */
export interface DiscordPerson {
  readonly id: string;
  readonly name: string;
  readonly locale: string;
}

/** Discord's no: `denied` by the person, or for another reason that is not ours to mend. */
export class SignInRefused extends Error {
  readonly denied: boolean;

  constructor(denied: boolean, options?: ErrorOptions) {
    super(denied ? 'denied' : 'refused', options);
    this.denied = denied;
  }
}

/** Whether people can sign in: the application's id and secret are set. */
export function canSignIn(): boolean {
  return config.discord.applicationId !== undefined && config.discord.clientSecret !== undefined;
}

let opened: Configuration | undefined;

function client(): Configuration {
  if (opened) return opened;
  const { applicationId = '', clientSecret = '', oauthUrl, apiUrl } = config.discord;
  const issuer = new URL(oauthUrl).origin;
  const server = {
    issuer,
    authorization_endpoint: `${issuer}/oauth2/authorize`,
    token_endpoint: `${apiUrl}/oauth2/token`,
  };
  opened = new Configuration(server, applicationId, undefined, ClientSecretBasic(clientSecret));
  opened.timeout = ANSWERS_WITHIN_S;
  // The local Discord, on this machine, speaks no TLS.
  if (apiUrl.startsWith('http:')) allowInsecureRequests(opened);
  return opened;
}

/** Where somebody says yes or no. @param verifier 43 characters or more that only this browser's sign-in knows */
export async function signInUrl(asked: {
  readonly state: string;
  readonly verifier: string;
  readonly redirectUri: string;
}): Promise<string> {
  return buildAuthorizationUrl(client(), {
    redirect_uri: asked.redirectUri,
    scope: 'identify',
    state: asked.state,
    code_challenge: await calculatePKCECodeChallenge(asked.verifier),
    code_challenge_method: 'S256',
    // Who has said yes before is not asked again.
    prompt: 'none',
  }).href;
}

/**
 * Who came back.
 *
 * @param back the address that they came back to, with its query
 * @throws {SignInRefused} and what the network throws
 */
export async function whoCame(
  back: URL,
  { state, verifier }: { readonly state: string; readonly verifier: string },
): Promise<DiscordPerson> {
  try {
    const checks = { expectedState: state, pkceCodeVerifier: verifier };
    const { access_token } = await authorizationCodeGrant(client(), back, checks);
    const url = new URL(`${config.discord.apiUrl}/v10/users/@me`);
    const response = await fetchProtectedResource(client(), access_token, url, 'GET');
    if (!response.ok) throw new Error(`/users/@me: status ${response.status}`);
    const { id, username, global_name, locale } = Me.parse(await response.json());
    return { id, name: global_name ?? username, locale };
  } catch (error) {
    if (error instanceof AuthorizationResponseError)
      throw new SignInRefused(error.error === 'access_denied', { cause: error });
    // A code that is old or was used, a wrong issuer, an answer that is none of OAuth's.
    if (error instanceof ResponseBodyError || (error instanceof ClientError && !isNetwork(error)))
      throw new SignInRefused(false, { cause: error });
    throw error;
  }
}

/** Whether Discord gave no answer at all. */
function isNetwork({ code }: ClientError): boolean {
  return code === 'OAUTH_TIMEOUT' || code === 'OAUTH_ABORT';
}
