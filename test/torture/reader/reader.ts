/**
 * Looks at what is there when all is quiet again, and says everything that should not be. It knows the program by its rows, its files,
 * its messages and its logs alone: a fault in the program's own reading is none of it.
 */
import { type Account, readDiscord, type Seen } from './discord.ts';
import { readFiles } from './files.ts';
import { type Logs, readLogs } from './logs.ts';
import { type Batch, type Generation, type Image, type Rows, readRows } from './rows.ts';

/** What somebody typed or pressed, and was told. */
export interface Asked {
  readonly what: string;
  /** the interaction's */
  readonly id: string;
  readonly answer: 'accepted' | 'refused' | 'unanswered';
  /** what was read */
  readonly text: string;
  /** the bot itself was down meanwhile */
  readonly botDown: boolean;
  /** of what was accepted: the interaction that the batch was made by, and how many pictures it is to have, if that is known */
  readonly batch?: { readonly by: string; readonly pictures: number | null };
}

export interface Where {
  readonly databaseUrl: string;
  readonly filesDir: string;
  readonly discord: Account;
  /** of the gallery */
  readonly webUrl: string | null;
  readonly logDir: string;
  readonly asked: readonly Asked[];
  /** one for each time that a service ended, and nobody had ended it */
  readonly ends: readonly string[];
}

/** What there must be none of. */
export type Fault =
  | 'unanswered'
  | 'lost'
  | 'stuck'
  | 'posted twice'
  | 'charged wrongly'
  | 'orphan files'
  | 'rows without bytes'
  | 'seen though flagged'
  | 'services that ended by themselves'
  | 'unhandled errors';

export interface Findings {
  readonly accepted: number;
  readonly refused: number;
  readonly unansweredWhileDown: number;
  /** pictures that came to nothing, their tokens given back */
  readonly failed: number;
  readonly faults: Readonly<Record<Fault, readonly string[]>>;
  readonly logs: Omit<Logs, 'errors'>;
}

/** The program's own sentence for "nobody knows whether it was accepted". */
const MAY_HAVE_BEEN_ACCEPTED = /database does not answer/;

export async function read(where: Where): Promise<Findings> {
  const rows = await readRows(where.databaseUrl);
  const seen = await readDiscord(
    where.discord,
    rows.users.map(({ id }) => id),
  );
  const files = await readFiles(where.filesDir);
  const { errors, ...logs } = await readLogs(where.logDir);
  const { asked } = where;
  const count = (answer: Asked['answer'], botDown?: boolean) =>
    asked.filter((one) => one.answer === answer && (botDown ?? one.botDown) === one.botDown).length;
  return {
    accepted: count('accepted'),
    refused: count('refused'),
    unansweredWhileDown: count('unanswered', true),
    failed: rows.generations.filter(({ state }) => state === 'failed').length,
    faults: {
      unanswered: asked
        .filter(({ answer, botDown }) => answer === 'unanswered' && !botDown)
        .map(({ what, id, text }) => `${what} (${id}): ${text}`),
      lost: [...lostBatches(asked, rows), ...lostMessages(rows, seen), ...lostPictures(rows, seen)],
      stuck: [...stuck(rows), ...leftPreviews(rows, seen)],
      'posted twice': postedTwice(rows, seen),
      'charged wrongly': [...chargedWrongly(rows), ...drawnThoughRefused(asked, rows)],
      'orphan files': orphans(rows, files),
      'rows without bytes': withoutBytes(rows, files),
      'seen though flagged': [...seenThoughFlagged(rows, seen), ...(await inTheGallery(rows, where.webUrl))],
      'services that ended by themselves': where.ends,
      'unhandled errors': errors,
    },
    logs,
  };
}

const isAccepted = ({ state }: Batch) => state !== 'planned' && state !== 'discarded';
const generationsOf = (rows: Rows, { id }: Batch) => rows.generations.filter(({ batchId }) => batchId === id);

/** May be seen by those who see the message it is posted in. */
function isShown({ deletedAt, verdict, review }: Image): boolean {
  if (deletedAt) return false;
  return review === null ? verdict === 'clear' : review === 'approved';
}

// lost

function lostBatches(asked: readonly Asked[], rows: Rows): string[] {
  return asked.flatMap(({ what, id, answer, batch }) => {
    if (answer !== 'accepted' || !batch) return [];
    const row = rows.batches.find(({ interactionId }) => interactionId === batch.by);
    if (!row || !isAccepted(row)) return [`${what} (${id}) was accepted, and there is no batch`];
    const made = generationsOf(rows, row).length;
    if (made === 0 || (batch.pictures !== null && made !== batch.pictures))
      return [
        `${what} (${id}): batch ${row.id} has ${made} pictures, and ${batch.pictures ?? 'some'} were accepted`,
      ];
    const card = rows.deliveries.some((one) => one.batchId === row.id && one.kind === 'card');
    return card ? [] : [`${what} (${id}): batch ${row.id} has no card`];
  });
}

function lostMessages({ deliveries }: Rows, seen: readonly Seen[]): string[] {
  const there = new Set(seen.map(({ id }) => id));
  return deliveries.flatMap(({ id, kind, state, messageId, lastError }) => {
    if (state === 'undelivered') return [`${kind} ${id} could not be delivered: ${lastError}`];
    if (state === 'active' && messageId !== null && !there.has(messageId))
      return [`${kind} ${id}: its message ${messageId} is gone`];
    return [];
  });
}

/** Ten pictures stand on a page; batches of more are not looked at here. */
const PAGE = 10;

function lostPictures(rows: Rows, seen: readonly Seen[]): string[] {
  const messages = new Map(seen.map((message) => [message.id, message]));
  return rows.batches.filter(isAccepted).flatMap((batch) => {
    const ids = new Set(generationsOf(rows, batch).map(({ id }) => id));
    const shown = rows.images.filter((image) => ids.has(image.generationId) && isShown(image));
    if (shown.length > PAGE) return [];
    const files = rows.deliveries
      .filter(({ batchId, kind }) => batchId === batch.id && (kind === 'card' || kind === 'pictures'))
      .flatMap(({ messageId }) => messages.get(messageId ?? '')?.files ?? []);
    return shown
      .filter(
        ({ sha256 }) =>
          !files.some((file) => file.sha256 === sha256 || file.name.includes(sha256.slice(0, 8))),
      )
      .map(({ id }) => `picture ${id} of batch ${batch.id} is done, and seen nowhere`);
  });
}

// stuck

/** Nothing is being drawn any more. */
function leftPreviews({ previews }: Rows, seen: readonly Seen[]): string[] {
  const showing = seen.filter(({ files }) => files.some(({ name }) => name.startsWith('preview-')));
  return [
    ...previews.map((id) => `a preview of picture ${id} is left`),
    ...showing.map(({ id }) => `message ${id} shows a preview`),
  ];
}

/** What waits for something, or is being done. */
export function stuck({ batches, generations, deliveries, waitingIdeas, photos }: Rows): string[] {
  return [
    ...generations
      .filter(({ state }) => state === 'queued' || state === 'running')
      .map(({ id, state, batchId }) => `generation ${id} of batch ${batchId} is ${state}`),
    ...batches
      .filter((batch) => isAccepted(batch) && !batch.endedAt)
      .map(({ id, state }) => `batch ${id} is ${state} and has not ended`),
    ...deliveries
      .filter(
        ({ state, messageId, wanted, posted }) =>
          state === 'active' && (messageId === null || wanted > posted),
      )
      .map(
        ({ id, kind, wanted, posted, lastError }) =>
          `${kind} ${id} shows ${posted} of ${wanted}: ${lastError}`,
      ),
    ...waitingIdeas.map((id) => `idea ${id} waits`),
    ...photos.filter(({ state }) => state === 'checking').map(({ id }) => `photo ${id} is being checked`),
  ];
}

// posted twice

function postedTwice({ deliveries }: Rows, seen: readonly Seen[]): string[] {
  const known = new Set(deliveries.map(({ messageId }) => messageId));
  const strays = seen
    .filter(({ id, byBot, isPost }) => byBot && isPost && !known.has(id))
    .map(({ id, channelId, files }) => `message ${id} in ${channelId} (${files.length} files) is nobody's`);
  const rows = deliveries
    .filter(({ kind }) => ['card', 'status', 'pictures', 'manifest', 'review'].includes(kind))
    .map(({ kind, batchId, reviewId }) => `${kind} of ${batchId ?? reviewId}`);
  const again = rows
    .filter((one, i) => rows.indexOf(one) < i)
    .map((one) => `there are two rows for the ${one}`);
  return [...strays, ...again];
}

// charged wrongly

function chargedWrongly(rows: Rows): string[] {
  const faults: string[] = [];
  for (const batch of rows.batches) {
    const tokens = rows.tokens.filter(({ batchId }) => batchId === batch.id);
    const generations = generationsOf(rows, batch);
    const price = isAccepted(batch) ? generations.reduce((sum, generation) => sum + generation.price, 0) : 0;
    const charges = tokens.filter(({ reason }) => reason === 'charge');
    const charged = -charges.reduce((sum, { amount }) => sum + amount, 0);
    if (charges.length > 1) faults.push(`batch ${batch.id} was charged ${charges.length} times`);
    if (charged !== price) faults.push(`batch ${batch.id} was charged ${charged}, and costs ${price}`);
    for (const generation of generations) faults.push(...refundFaults(generation, rows));
  }
  for (const { id, tokens } of rows.users) {
    const sum = rows.tokens
      .filter(({ userId }) => userId === id)
      .reduce((all, { amount }) => all + amount, 0);
    if (sum < 0 || sum !== tokens) faults.push(`${id} has ${tokens} tokens, and entries of ${sum}`);
  }
  return faults;
}

/** What was not drawn, or copied from an earlier picture, is free. */
function refundFaults({ id, state, reused, price }: Generation, { tokens }: Rows): string[] {
  const back = tokens.filter(({ reason, generationId }) => reason === 'refund' && generationId === id);
  const sum = back.reduce((all, { amount }) => all + amount, 0);
  const isFree = state === 'failed' || state === 'cancelled' || (state === 'done' && reused);
  const due = isFree ? price : 0;
  return sum === due
    ? []
    : [`generation ${id}, ${state}${reused ? ' and reused' : ''}: ${sum} came back, not ${due}`];
}

function drawnThoughRefused(asked: readonly Asked[], { batches }: Rows): string[] {
  return asked.flatMap(({ what, id, answer, text }) => {
    if (answer !== 'refused' || MAY_HAVE_BEEN_ACCEPTED.test(text)) return [];
    const batch = batches.find((one) => one.interactionId === id && isAccepted(one));
    return batch ? [`${what} (${id}) was refused (${text}), and batch ${batch.id} was made`] : [];
  });
}

// files

export function orphans({ images, photos }: Rows, files: ReadonlyMap<string, string>): string[] {
  const named = new Set([
    ...images.filter(({ deletedAt }) => !deletedAt).map(({ storageKey }) => storageKey),
    ...photos.map(({ storageKey }) => storageKey),
  ]);
  const collections = images.flatMap(({ id, collection }) =>
    collection ? [`photowall/${collection}/${id}/`, `curated/${collection}/${id}/`] : [],
  );
  return [...files.keys()].filter(
    (key) => !named.has(key) && !collections.some((folder) => key.startsWith(folder)),
  );
}

function withoutBytes({ images, photos }: Rows, files: ReadonlyMap<string, string>): string[] {
  const of = (what: string, { id, storageKey, sha256 }: Pick<Image, 'id' | 'storageKey' | 'sha256'>) => {
    const there = files.get(storageKey);
    if (there === undefined) return [`${what} ${id}: there is no ${storageKey}`];
    return there === sha256 ? [] : [`${what} ${id}: ${storageKey} has other bytes`];
  };
  return [
    ...images.filter(({ deletedAt }) => !deletedAt).flatMap((image) => of('picture', image)),
    ...photos.filter(({ state }) => state !== 'rejected').flatMap((photo) => of('photo', photo)),
  ];
}

// seen though flagged

function seenThoughFlagged({ images, reviewChannels }: Rows, seen: readonly Seen[]): string[] {
  // Two rows may be of the same bytes: those that one of them shows are seen by right.
  const shown = new Set(images.filter(isShown).map(({ sha256 }) => sha256));
  const hidden = images.filter(
    (image) => !isShown(image) && image.verdict === 'flagged' && !shown.has(image.sha256),
  );
  const outside = seen.filter(({ channelId }) => !reviewChannels.includes(channelId));
  return hidden.flatMap(({ id, sha256 }) =>
    outside
      .filter(({ files }) =>
        files.some((file) => file.sha256 === sha256 || file.name.includes(sha256.slice(0, 8))),
      )
      .map((message) => `picture ${id} is flagged, and in message ${message.id} in ${message.channelId}`),
  );
}

async function inTheGallery({ images }: Rows, webUrl: string | null): Promise<string[]> {
  if (!webUrl) return [];
  const faults: string[] = [];
  for (const image of images.filter((one) => !isShown(one))) {
    const { status } = await fetch(new URL(`/pictures/${image.id}`, webUrl));
    if (status !== 404) faults.push(`picture ${image.id} may not be seen, and the gallery answers ${status}`);
  }
  return faults;
}
