/** A key and certificates that somebody has for signing pictures, looked at before anything is signed with them. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

const ONE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
/** What C2PA takes a certificate for: e-mail, documents, claims of C2PA. */
const PURPOSES = ['1.3.6.1.5.5.7.3.4', '1.3.6.1.5.5.7.3.36', '1.3.6.1.4.1.62558.2.1'];

export interface SigningFault {
  readonly variable: 'C2PA_KEY' | 'C2PA_CERT';
  readonly message: string;
}

export const certificatesIn = (pem: string): readonly string[] => pem.match(ONE) ?? [];

/**
 * The first thing that is wrong with them; null: they can sign. Says nothing of what is in the key.
 *
 * @param key         PEM @param certificates PEM, its own first
 */
export function signingFault(key: string, certificates: string, now = new Date()): SigningFault | null {
  const keyIs = (message: string): SigningFault => ({ variable: 'C2PA_KEY', message });
  const certificateIs = (message: string): SigningFault => ({ variable: 'C2PA_CERT', message });

  let parsed: KeyObject;
  try {
    parsed = createPrivateKey(key);
  } catch {
    return keyIs('is no private key in PEM without a passphrase');
  }
  if (parsed.asymmetricKeyType !== 'ec' || parsed.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    return keyIs('must be a key of the curve P-256 (ES256)');

  let chain: X509Certificate[];
  try {
    chain = certificatesIn(certificates).map((one) => new X509Certificate(one));
  } catch {
    return certificateIs('has a certificate that cannot be read');
  }
  const [own, authority] = chain;
  if (!own) return certificateIs('is no certificate in PEM');
  if (!own.checkPrivateKey(parsed))
    return keyIs('does not fit C2PA_CERT, whose first certificate must be of that key');
  if (own.ca)
    return certificateIs('is an authority’s certificate: it may sign certificates, and no pictures');
  // Node's types lack that there may be none.
  const purposes: readonly string[] | undefined = own.keyUsage;
  if (!purposes?.some((one) => PURPOSES.includes(one)))
    return certificateIs('is not for signing content: it needs the purpose e-mail, documents or C2PA claims');
  if (!authority) return certificateIs('must have the certificate of its authority after its own');
  if (chain.some((one, i) => chain[i + 1] && !one.checkIssued(chain[i + 1]!)))
    return certificateIs('is out of order: each certificate must be signed by the one after it');
  for (const { validFromDate, validToDate } of chain) {
    if (validToDate < now) return certificateIs(`has expired: it was valid until ${day(validToDate)}`);
    if (validFromDate > now) return certificateIs(`is not valid yet: it is from ${day(validFromDate)} on`);
  }
  return null;
}

const day = (date: Date) => date.toISOString().slice(0, 10);
