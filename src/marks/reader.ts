/**
 * What a file's manifest says, by C2PA's own reader (c2pa-rs as WebAssembly). It takes 50 MB and 0.1 s to begin, and reads what strangers
 * send: only the detector's process has it (detect-process.ts).
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import init, { WasmReader } from '@contentauth/c2pa-wasm';
import { z } from 'zod';
import type { FileFormat } from '#src/uploads/decode.ts';

/** A manifest that was found in a file. */
export const Claim = z.object({
  /** the file is as it was signed, and the signature holds */
  intact: z.boolean(),
  /** signed by one of the authorities that were named */
  known: z.boolean(),
  /** as the certificate calls who signed; null: it does not say */
  signer: z.string().nullable(),
  /** what made the file, as it says itself; null: it does not */
  generator: z.string().nullable(),
  /** how the picture came to be: the last word of IPTC's address, as `trainedAlgorithmicMedia`; null: it does not say */
  source: z.string().nullable(),
  /** when, as it says; null: it does not */
  at: z.string().nullable(),
});
export type Claim = z.output<typeof Claim>;

const text = z.string().max(300).nullish().catch(null);
const Status = z.array(z.object({ code: z.string() })).catch([]);
const Manifest = z.object({
  claim_generator: text,
  claim_generator_info: z
    .array(z.object({ name: text }))
    .nullish()
    .catch([]),
  signature_info: z.object({ issuer: text, common_name: text }).nullish().catch(null),
  assertions: z.array(z.object({ label: z.string(), data: z.unknown().optional() })).catch([]),
});
const Store = z.object({
  active_manifest: z.string(),
  manifests: z.record(z.string(), Manifest),
  validation_state: z.string(),
  validation_results: z
    .object({ activeManifest: z.object({ success: Status }).nullish() })
    .nullish()
    .catch(null),
});
const Actions = z.object({ actions: z.array(z.object({ digitalSourceType: text, when: text })) });

const MIME: Readonly<Record<FileFormat, string>> = {
  png: 'image/png',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
  heif: 'image/avif',
};

/** What the reader says of a file without a manifest, and of our own mistakes. */
const NONE = /JumbfNotFound|InvalidAsset|UnsupportedType|IoError/;
const SETTINGS = /BadParam/;
const DAMAGED: Claim = {
  intact: false,
  known: false,
  signer: null,
  generator: null,
  source: null,
  at: null,
};

let loaded: Promise<unknown> | undefined;

/**
 * @param authorities PEM, of certificates whose signatures are known; one at least
 * @returns null where the file has none. Of one that is damaged nothing is told but that
 * @throws {Error} of settings that the reader does not take
 */
export async function readClaim(
  bytes: Uint8Array,
  format: FileFormat,
  authorities: readonly string[],
): Promise<Claim | null> {
  const wasm = fileURLToPath(import.meta.resolve('@contentauth/c2pa-wasm/c2pa.wasm'));
  loaded ??= readFile(wasm).then((module_or_path) => init({ module_or_path }));
  await loaded;
  const settings = {
    // What a stranger's file names is not fetched.
    verify: { verify_trust: true, remote_manifest_fetch: false, ocsp_fetch: false },
    trust: { user_anchors: authorities.join('\n') },
  };
  let reader: WasmReader;
  try {
    reader = await WasmReader.fromBytes(MIME[format], bytes, JSON.stringify(settings));
  } catch (error) {
    if (NONE.test(String(error))) return null;
    if (SETTINGS.test(String(error))) throw error;
    return DAMAGED;
  }
  try {
    return claimOf(Store.parse(JSON.parse(reader.json())));
  } finally {
    reader.free();
  }
}

function claimOf({
  active_manifest,
  manifests,
  validation_state,
  validation_results,
}: z.output<typeof Store>): Claim | null {
  const active = manifests[active_manifest];
  if (!active) return null;
  const { signature_info: signature, claim_generator_info: info, claim_generator, assertions } = active;
  const actions = assertions.flatMap(({ data }) => Actions.safeParse(data).data?.actions ?? []);
  const made = actions.find(({ digitalSourceType }) => digitalSourceType);
  const success = validation_results?.activeManifest?.success ?? [];
  return {
    intact: validation_state !== 'Invalid',
    known: success.some(({ code }) => code === 'signingCredential.trusted'),
    signer: signature?.common_name ?? signature?.issuer ?? null,
    generator: info?.[0]?.name ?? claim_generator ?? null,
    source: made?.digitalSourceType?.split('/').at(-1) ?? null,
    at: made?.when ?? null,
  };
}
