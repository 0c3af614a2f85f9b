/** Sweeps as rows, with pictures to look at: some drawn, and some in whatever state a test cares for. */
import { createHash, randomUUID } from 'node:crypto';
import { db, type Prisma } from '#src/doors/db.ts';
import { putFile } from '#src/doors/storage.ts';
import { drawPicture } from './pictures.ts';

/** px; all pictures of a sweep have one shape */
const SHAPE = { width: 512, height: 640 };

type Generation = Prisma.GenerationCreateManyInput;
type Image = Prisma.ImageCreateManyInput;

export interface Wanted {
  readonly ownerId: string;
  readonly batch?: Partial<Prisma.BatchUncheckedCreateInput>;
  /** first axis slowest; names of parameters or others */
  readonly axes: Readonly<Record<string, readonly (string | number)[]>>;
  /** number of a picture → what is otherwise; `image: null` where there is none */
  readonly changes?: (
    number: number,
    place: Readonly<Record<string, string>>,
  ) => { readonly generation?: Partial<Generation>; readonly image?: Partial<Image> | null } | undefined;
  /** bytes of picture n; a few drawings by turns when left out */
  readonly png?: (number: number) => Promise<Buffer>;
  /** pictures that are drawn for it */
  readonly drawings?: number;
}

const drawings = new Map<number, Promise<Buffer>>();

function drawing(n: number): Promise<Buffer> {
  // Numbers of which the shape is that of all.
  const made = drawings.get(n) ?? drawPicture(n * 5).then(({ png }) => png);
  drawings.set(n, made);
  return made;
}

/** @returns the batch's id, and those of its generations in its order */
export async function makeSweep({
  ownerId,
  batch = {},
  axes,
  changes = () => undefined,
  drawings: distinct = 4,
  png = (number) => drawing(number % distinct),
}: Wanted): Promise<{ readonly id: string; readonly pictures: readonly string[] }> {
  await db.user.upsert({ where: { id: ownerId }, create: { id: ownerId }, update: {} });
  const ended = new Date();
  const { id } = await db.batch.create({
    data: {
      kind: 'sweep',
      state: 'finished',
      ownerId,
      tier: 'relax',
      title: 'Strength by scheduler',
      config: {},
      charged: 12,
      endedAt: ended,
      ...batch,
    },
  });
  const generations: Generation[] = [];
  const images: Image[] = [];
  for (const [index, place] of placesOf(Object.entries(axes)).entries()) {
    const number = index + 1;
    const change = changes(number, place) ?? {};
    const generationId = randomUUID();
    generations.push({
      id: generationId,
      batchId: id,
      index,
      state: 'done',
      userId: ownerId,
      tier: 'relax',
      bundle: 'reference',
      bundleHash: 'b'.repeat(64),
      prompt: 'portrait of a weaver at her loom, late light <b>through</b> tall windows',
      parameters: { guidance_scale: 7.5, ...numbers(place) },
      coordinates: place,
      seed: BigInt(place.seed ?? 42),
      ...SHAPE,
      steps: 20,
      key: randomUUID(),
      price: 1,
      timings: { base: 2_000 + 100 * number, detail: 900 },
      endedAt: ended,
      ...change.generation,
    });
    if (change.image === null || (change.generation?.state ?? 'done') !== 'done') continue;
    const bytes = await png(number);
    const storageKey = `tests/2026-11-20/${id}/${generationId}.png`;
    await putFile(storageKey, bytes);
    images.push({
      id: randomUUID(),
      generationId,
      key: generationId,
      bundleHash: 'b'.repeat(64),
      storageKey,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      ...SHAPE,
      bytes: bytes.length,
      thumbhash: new Uint8Array([1, 2, 3]),
      verdict: 'clear',
      scores: { normal: 0.97, flagged: 0.03 },
      likeness: 0.4 + number / 100,
      ...change.image,
    });
  }
  await db.generation.createMany({ data: generations });
  await db.image.createMany({ data: images });
  return { id, pictures: generations.map(({ id }) => id!) };
}

function placesOf([axis, ...others]: readonly (readonly [string, readonly (string | number)[]])[]): Record<
  string,
  string
>[] {
  if (!axis) return [{}];
  const [name, labels] = axis;
  return labels.flatMap((label) => placesOf(others).map((place) => ({ [name]: String(label), ...place })));
}

const numbers = (place: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(place).map(([name, label]) => [name, Number.isNaN(Number(label)) ? label : Number(label)]),
  );
