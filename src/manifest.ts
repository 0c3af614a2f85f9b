/** What a batch made, for machines: CSV with a row a picture, and JSON with everything. Equal rows give equal bytes. */
import type { Batch } from './db.ts';
import type { Picture } from './messages.ts';

/** RFC 4180, with a mark before what a spreadsheet would take for a formula. */
export function toCsv(batch: Batch, pictures: readonly Picture[]): string {
  const axes = axesOf(pictures);
  const header = [
    ...[
      'batch',
      'index',
      ...axes,
      'seed',
      'face_folder',
      'prompt',
      'state',
      'failure',
      'reused',
      'verdict',
      'likeness',
    ],
    ...['total_ms', 'width', 'height', 'sha256', 'storage_key', 'bundle_hash'],
  ];
  const rows = pictures.map((picture) => {
    const { image } = picture;
    return [
      ...[batch.id, picture.index, ...axes.map((axis) => coordinatesOf(picture)[axis] ?? '')],
      ...[
        picture.seed,
        picture.faceFolder?.name,
        picture.prompt,
        picture.state,
        picture.failure,
        picture.reused,
      ],
      ...[image?.verdict, image?.likeness?.toFixed(4), totalMs(picture), picture.width, picture.height],
      ...[image?.sha256, image?.storageKey, picture.bundleHash],
    ];
  });
  return [header, ...rows]
    .map((row) => row.map(field).join(','))
    .join('\r\n')
    .concat('\r\n');
}

export function toJson(batch: Batch, pictures: readonly Picture[]): string {
  const manifest = {
    batch: {
      ...pick(batch, 'id', 'kind', 'title', 'state', 'tier', 'production', 'charged', 'planHash'),
      openedAt: batch.openedAt,
      endedAt: batch.endedAt,
      config: batch.config,
    },
    pictures: pictures.map((picture) => ({
      ...pick(
        picture,
        'index',
        'prompt',
        'parameters',
        'width',
        'height',
        'coordinates',
        'key',
        'bundle',
        'bundleHash',
      ),
      ...pick(picture, 'state', 'failure', 'reused', 'attempts', 'timings', 'price'),
      seed: Number(picture.seed),
      faceFolder: picture.faceFolder?.name ?? null,
      image: picture.image && {
        ...pick(picture.image, 'sha256', 'storageKey', 'bytes', 'verdict', 'scores', 'rule', 'likeness'),
      },
    })),
  };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

function pick<T extends object, K extends keyof T>(from: T, ...keys: K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}

/** In the order in which cells name them: Postgres sorts the keys of one cell, so the first that varies comes first. */
function axesOf(pictures: readonly Picture[]): string[] {
  return [...new Set(pictures.flatMap((picture) => Object.keys(coordinatesOf(picture))))];
}

export function coordinatesOf({ coordinates }: Pick<Picture, 'coordinates'>): Record<string, string> {
  return typeof coordinates === 'object' && coordinates !== null && !Array.isArray(coordinates)
    ? Object.fromEntries(Object.entries(coordinates).map(([axis, label]) => [axis, String(label)]))
    : {};
}

function totalMs({ timings }: Pick<Picture, 'timings'>): number | null {
  if (typeof timings !== 'object' || timings === null || Array.isArray(timings)) return null;
  const all = Object.values(timings).filter((ms) => typeof ms === 'number');
  return all.length ? all.reduce((a, b) => a + b, 0) : null;
}

function field(value: unknown): string {
  const text = value === null || value === undefined ? '' : String(value);
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
