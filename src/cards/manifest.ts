/**
 * What a batch was and what became of it, to keep beside its pictures: a CSV with one line a picture, and JSON with the plan
 * and a summary as well. A picture's number is the one on the contact sheet. The same rows give the same bytes: nothing here reads
 * a clock.
 *
 * Pictures that may not be shown are listed without key and hash, so that a manifest leads to nothing that is held.
 */
import { canonicalJson } from '#src/canonical.ts';
import type { Batch } from '#src/doors/db.ts';
import { mayBeShown } from '#src/generations/images.ts';
import { faceFound, type Picture } from '#src/generations/pictures.ts';
import { sheetAxes } from '#src/sweeps/sheet-axes.ts';
import { coordinatesOf, numberOf } from './parts.ts';

export interface Manifest {
  /** RFC 4180, UTF-8 */
  readonly csv: Buffer;
  readonly json: Buffer;
  readonly summary: ManifestSummary;
}

export interface ManifestSummary {
  readonly pictures: number;
  readonly done: number;
  readonly reused: number;
  /** flagged and not decided, or rejected: kept apart, so that they do not vanish from a mean */
  readonly notShown: number;
  readonly failed: number;
  readonly cancelled: number;
  /** failure → how often */
  readonly failures: Readonly<Record<string, number>>;
  /** mean cosine over pictures that have one; null when none has */
  readonly likeness: number | null;
  /** stage → mean ms, over pictures that were drawn */
  readonly stageMs: Readonly<Record<string, number>>;
}

/** @param pictures all of the batch, in its order */
export function buildManifest(batch: Batch, pictures: readonly Picture[]): Manifest {
  const coordinates = pictures.map(coordinatesOf);
  const { rows, columns } = sheetAxes(coordinates);
  const varied = [...rows, ...columns].map(({ name }) => name);
  const others = [...new Set(coordinates.flatMap((one) => Object.keys(one)))].filter(
    (name) => !varied.includes(name),
  );
  const axes = [...varied, ...others.sort()];
  const stages = [...new Set(pictures.flatMap((picture) => Object.keys(timingsOf(picture))))].sort();

  const header = [
    ...['batch', 'number'],
    ...axes.map((axis) => `axis_${axis}`),
    ...['seed', 'face_folder', 'idea', 'prompt', 'state', 'failure'],
    ...stages.map((stage) => `${stage}_ms`),
    ...['likeness', 'face_found', 'verdict', 'sha256', 'storage_key', 'bundle_hash', 'reused'],
  ];
  const lines = pictures.map((picture) => {
    const { image } = picture;
    const shown = shownImage(picture);
    const place = coordinatesOf(picture);
    const timings = timingsOf(picture);
    return [
      ...[batch.id, numberOf(picture)],
      ...axes.map((axis) => place[axis]),
      ...[picture.seed, picture.faceFolder?.name, picture.ideaId, picture.prompt],
      ...[picture.state, picture.failure],
      ...stages.map((stage) => (timings[stage] === undefined ? null : Math.round(timings[stage]))),
      ...[image?.likeness, faceFound(picture), image?.verdict, shown?.sha256, shown?.storageKey],
      ...[picture.bundleHash, picture.reused],
    ];
  });
  const summary = summaryOf(pictures);
  const json = {
    version: 2,
    batch: {
      id: batch.id,
      kind: batch.kind,
      title: batch.title,
      state: batch.state,
      tier: batch.tier,
      production: batch.production,
      createdAt: batch.createdAt,
      endedAt: batch.endedAt,
      tokensCharged: batch.charged,
    },
    planHash: batch.planHash,
    config: batch.config,
    axes: [...rows, ...columns],
    summary,
    pictures: pictures.map((picture) => pictureJson(picture)),
  };
  return {
    csv: Buffer.from(csvOf([header, ...lines])),
    // Sorted keys: Postgres gives JSON back in an order of its own.
    json: Buffer.from(`${JSON.stringify(JSON.parse(canonicalJson(json)), null, 2)}\n`),
    summary,
  };
}

type CsvValue = string | number | bigint | boolean | null | undefined;

/** RFC 4180, and safe to open: a text that a spreadsheet would run as a formula gets a `'` before it. */
export function csvOf(lines: readonly (readonly CsvValue[])[]): string {
  return lines.map((line) => `${line.map(csvField).join(',')}\r\n`).join('');
}

function csvField(value: CsvValue): string {
  if (value === null || value === undefined) return '';
  if (typeof value !== 'string') return String(value);
  // Spreadsheets skip white space before a formula, and take a tab or line break as the start of a cell.
  const safe =
    /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/.test(value) || /^[\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function pictureJson(picture: Picture) {
  const { image } = picture;
  const shown = shownImage(picture);
  return {
    number: numberOf(picture),
    id: picture.id,
    coordinates: coordinatesOf(picture),
    seed: Number(picture.seed),
    width: picture.width,
    height: picture.height,
    faceFolder: picture.faceFolder?.name ?? null,
    ideaId: picture.ideaId,
    prompt: picture.prompt,
    parameters: picture.parameters,
    state: picture.state,
    failure: picture.failure,
    attempts: picture.attempts,
    timingsMs: timingsOf(picture),
    key: picture.key,
    bundle: picture.bundle,
    bundleHash: picture.bundleHash,
    reused: picture.reused,
    tokens: picture.price,
    image: image && {
      verdict: image.verdict,
      rule: image.rule,
      likeness: image.likeness,
      faceFound: faceFound(picture),
      review: image.review?.state ?? null,
      ...(shown && { sha256: shown.sha256, storageKey: shown.storageKey, bytes: shown.bytes }),
    },
  };
}

function summaryOf(pictures: readonly Picture[]): ManifestSummary {
  const ended = (state: Picture['state']) => pictures.filter((picture) => picture.state === state);
  const done = ended('done');
  const failed = ended('failed');
  const likenesses = done.flatMap(({ image }) => image?.likeness ?? []);
  const drawn = done.filter(({ reused }) => !reused).map(timingsOf);
  const stages = [...new Set(drawn.flatMap((timings) => Object.keys(timings)))].sort();
  const failures: Record<string, number> = {};
  for (const { failure } of failed)
    failures[failure ?? 'internal'] = (failures[failure ?? 'internal'] ?? 0) + 1;
  return {
    pictures: pictures.length,
    done: done.length,
    reused: done.filter(({ reused }) => reused).length,
    notShown: done.filter((picture) => !shownImage(picture)).length,
    failed: failed.length,
    cancelled: ended('cancelled').length,
    failures,
    likeness: likenesses.length ? mean(likenesses) : null,
    stageMs: Object.fromEntries(
      stages.map((stage) => [stage, Math.round(mean(drawn.flatMap((timings) => timings[stage] ?? [])))]),
    ),
  };
}

function shownImage({ image }: Picture) {
  return image && mayBeShown(image, image.review) ? image : null;
}

function timingsOf({ timings }: Picture): Record<string, number> {
  return timings as Record<string, number>;
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}
