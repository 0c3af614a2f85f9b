/**
 * What a worker has in memory: bundles, and within them sets of LoRAs and faces, under one budget. plan.ts says what goes out for
 * what comes in, before anything is loaded.
 *
 * A bundle is loaded in threads of its own, a set of LoRAs in one: beside what is drawn, and what it took comes back when they end. The
 * networks of one bundle alone run at a time. Nothing that is drawn with, or will be, goes out.
 */
import type { Warm } from '#src/backlog/order.ts';
import { bundleHash } from '#src/bundles/inspect.ts';
import { type LoraChoice, sayLoras } from '#src/bundles/lora-choice.ts';
import { log } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { UserError } from '#src/errors.ts';
import type { Artist, ArtistOptions, AskedPicture } from '../artist.ts';
import { type DrawnTogether, type FacePhotos, faceKey } from '../protocol.ts';
import { type Level, type Plan, planFor } from './plan.ts';

/** What there is to load. */
export interface Offered {
  readonly name: string;
  readonly dir: string;
  readonly level: Level;
  /** that it takes */
  readonly bytes: number;
  /** that a set of LoRAs takes at most, until it is measured */
  readonly loraBytes: number;
  /** what is wrong with it, as its files say; null: nothing */
  readonly fault: Error | null;
}

export interface PoolOptions {
  /** bytes */
  readonly budget: number;
  readonly start: (bundle: Offered, options: Pick<ArtistOptions, 'onKept'>) => Promise<Artist>;
  /** Told once each time that a bundle does not load. */
  readonly onFailed: (bundle: string, error: unknown) => void;
  /** Told when threads end by themselves. */
  readonly onBroken: (error: unknown) => void;
}

export type BundleState = 'cold' | 'loading' | 'warm' | 'failed';

/** What there is to tell of a bundle. */
export interface BundleReport {
  readonly state: BundleState;
  /** null: it was not loaded yet */
  readonly hash: string | null;
  /** that it and what lives within it takes now */
  readonly bytes: number;
  /** that loading it takes, as far as is known */
  readonly loadMs: number;
}

/** A picture that is to be drawn. */
export interface PooledPicture extends AskedPicture {
  /** whose face it is, as the backlog has it */
  readonly faceId: string | null;
}

/** Of one photo of a face, until it is measured: its pixels for CLIP, at most. bytes */
const PHOTO_BYTES = 640 * 1024;
/** What loading a bundle takes, until it was measured: so many bytes in a second. */
const LOAD_RATE = 0.5 * 2 ** 30;
/** One that did not load is tried again after so long. ms */
const FAILED_FOR_MS = 60_000;

interface Member extends Offered {
  state: BundleState;
  artist: Artist | null;
  hash: string | null;
  loadMs: number | null;
  /** ms, as `performance.now()` has it: when it was loaded, or failed to */
  at: number;
  /** no turn was taken since it was loaded because one was to be */
  isFresh: boolean;
}

interface Entry {
  readonly key: string;
  readonly what: 'bundle' | 'loras' | 'face';
  readonly member: Member;
  /** what the bundle's threads know it by */
  readonly name: string;
  /** of a face */
  readonly photoIds: readonly string[];
  faceId: string | null;
  bytes: number;
  usedAt: number;
  /** by how many turns, and by its loading */
  uses: number;
  /** false: it is being loaded, or is with the first that is drawn with it */
  isThere: boolean;
  /** it is loaded beside what is drawn, and nothing waits for it yet */
  isAhead: boolean;
}

type Need = Pick<Entry, 'key' | 'what' | 'name' | 'bytes' | 'photoIds' | 'faceId'>;

const keyOf = (member: Member, what: Entry['what'], name: string) => `${what} ${member.name} ${name}`.trim();

export class Pool {
  readonly #options: PoolOptions;
  readonly #members: ReadonlyMap<string, Member>;
  readonly #entries = new Map<string, Entry>();
  /** key → what it took when it was there */
  readonly #measured = new Map<string, number>();
  /** the networks' turns: those of one bundle at a time */
  readonly #drawing = new Map<object, Member>();
  /** what changes what is in memory, one after another */
  #line: Promise<unknown> = Promise.resolve();
  #loading: Promise<void> = Promise.resolve();
  #uses = 0;
  #change = Promise.withResolvers<void>();
  /** the last one that was loaded because it was asked for */
  #last: Member | null = null;
  /** the last one that was drawn with */
  #current: Member | null = null;

  constructor(bundles: readonly Offered[], options: PoolOptions) {
    this.#options = options;
    this.#members = new Map(
      bundles.map((bundle) => [
        bundle.name,
        {
          ...bundle,
          state: bundle.fault ? 'failed' : 'cold',
          artist: null,
          hash: null,
          loadMs: null,
          at: Number.NEGATIVE_INFINITY,
          isFresh: false,
        },
      ]),
    );
    metrics.poolBudget([[{}, options.budget]]);
    this.#tellBytes();
  }

  get budget(): number {
    return this.#options.budget;
  }

  /** that is used, or given away */
  get bytes(): number {
    return sum([...this.#entries.values()]);
  }

  /** Names of the bundles that can be drawn with, now or once they are loaded. */
  get usable(): readonly string[] {
    return [...this.#members.values()].filter((member) => this.#stateOf(member) !== 'failed').map(nameOf);
  }

  /** Names of those that did not load, and what they failed with is not long ago. */
  get failed(): readonly string[] {
    return [...this.#members.values()].filter((member) => this.#stateOf(member) === 'failed').map(nameOf);
  }

  /** The bundle that is drawn with now, or was last; before that any that is warm. */
  get current(): string | null {
    const warm = [...this.#members.values()].find(({ state }) => state === 'warm');
    return (this.#current ?? warm)?.name ?? null;
  }

  stateOf(bundle: string): BundleState {
    return this.#stateOf(this.#member(bundle));
  }

  /** One that failed may be tried again after a while; what is wrong with its files stays wrong. */
  #stateOf({ state, at, fault }: Member): BundleState {
    return state === 'failed' && !fault && performance.now() - at > FAILED_FOR_MS ? 'cold' : state;
  }

  reports(): ReadonlyMap<string, BundleReport> {
    return new Map(
      [...this.#members.values()].map((member): [string, BundleReport] => {
        const own = [...this.#entries.values()].filter((entry) => entry.member === member);
        const { name, hash } = member;
        return [name, { state: this.#stateOf(member), hash, bytes: sum(own), loadMs: this.loadMs(name) }];
      }),
    );
  }

  /** Of a bundle that is warm: where it is, and the hash of its files. */
  facts(bundle: string): { readonly dir: string; readonly hash: string } {
    const { dir, hash } = this.#member(bundle);
    if (hash === null) throw new Error(`Bundle ${bundle} was not loaded`);
    return { dir, hash };
  }

  /** What the order may prefer. */
  warmOf(bundle: string): Warm {
    const member = this.#member(bundle);
    const own = [...this.#entries.values()].filter((entry) => entry.member === member);
    return {
      // Until one that is on its way is there, others are drawn.
      loras: new Set([
        '',
        ...own.filter(({ what, isThere, isAhead }) => what === 'loras' && (isThere || !isAhead)).map(nameOf),
      ]),
      faceIds: new Set(own.flatMap(({ faceId }) => faceId ?? [])),
    };
  }

  /** ms that loading it takes, as far as is known */
  loadMs(bundle: string): number {
    const { loadMs, bytes } = this.#member(bundle);
    return loadMs ?? (bytes / LOAD_RATE) * 1_000;
  }

  /** ms since what was loaded last because it was asked for was there, and how long that took; null: nothing was yet */
  get lastLoad(): { readonly agoMs: number; readonly tookMs: number } | null {
    const last = this.#last;
    return last && { agoMs: performance.now() - last.at, tookMs: last.loadMs ?? 0 };
  }

  /** Resolves when it is not being loaded any more. */
  async settled(bundle: string): Promise<void> {
    while (this.stateOf(bundle) === 'loading') await this.changed();
  }

  /** Whether it fits beside others that are in memory. */
  hasRoomFor(bundle: string, beside: readonly string[]): boolean {
    const kept = [...this.#entries.values()].map((entry) => ({
      ...keptOf(entry),
      inUse: entry.uses > 0 || beside.includes(entry.member.name),
    }));
    return planFor(this.#options.budget, kept, this.#needed(this.#member(bundle))).fits === 'now';
  }

  /** Resolves at the next change: something was loaded or failed, or is not drawn with any more. */
  changed(): Promise<void> {
    return this.#change.promise;
  }

  /** Whoever waits for a change looks again. */
  wake(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  /**
   * Begins to load a bundle, beside what is drawn. What it crowds out is gone first.
   *
   * @returns `now` when it is there or under way; `later` when something in use has to end first; `never` when it is too large
   */
  load(bundle: string, cause: 'start' | 'asked' = 'asked'): Promise<Plan['fits']> {
    const member = this.#member(bundle);
    return this.#inLine(async () => {
      if (member.state === 'warm' || member.state === 'loading') return 'now';
      const plan = planFor(this.#options.budget, this.#kept(), this.#needed(member));
      if (plan.fits === 'never') this.#fail(member, this.#tooLarge(plan));
      if (plan.fits !== 'now') return plan.fits;
      await this.#letGo(plan.out);
      const entry = this.#enter(member, needOf(member));
      entry.uses++;
      // What was not drawn with yet is no older than what was.
      entry.usedAt = ++this.#uses;
      member.state = 'loading';
      if (cause === 'asked') metrics.warm({ what: 'bundle', result: 'miss' });
      this.#loading = this.#start(member, entry, cause);
      return 'now';
    });
  }

  /**
   * Begins to load a set of LoRAs of a bundle that is kept, beside what is drawn, if it fits beside what is in use. What needs it is
   * drawn in its turn all the same, and waits for it then.
   *
   * @returns as `load`
   */
  loadLoras(bundle: string, loras: readonly LoraChoice[]): Promise<Plan['fits']> {
    const member = this.#member(bundle);
    const needs = this.#measuredNeeds(member, [], loras);
    return this.#inLine(async () => {
      const { artist } = member;
      const isKnown = needs.every(({ key }) => this.#entries.has(key));
      if (isKnown || !artist || member.state !== 'warm') return isKnown ? 'now' : 'later';
      const plan = planFor(this.#options.budget, this.#kept(), needs);
      if (plan.fits !== 'now') return plan.fits;
      await this.#letGo(plan.out);
      const entries = needs.map((need) => this.#enter(member, need, true));
      const end = this.#use(entries);
      artist.loadLoras(loras).then(end, (error: unknown) => {
        log.warn({ err: error, bundle, loras: sayLoras(loras) }, 'LoRAs not loaded ahead');
        end();
      });
      return 'now';
    });
  }

  async #start(member: Member, entry: Entry, cause: 'start' | 'asked'): Promise<void> {
    const startedAt = performance.now();
    try {
      const artist = await this.#options.start(member, {
        onKept: (what, name, bytes) => this.#measure(keyOf(member, what, name), bytes),
      });
      artist.broken.catch(this.#options.onBroken);
      member.artist = artist;
      // Last, as it reads every byte: a bundle that can't be used is to be told at once.
      member.hash ??= await bundleHash(member.dir, artist.files);
      member.state = 'warm';
      entry.isThere = true;
      member.isFresh = cause === 'asked';
      if (cause === 'asked') this.#last = member;
    } catch (error) {
      await member.artist?.close();
      member.artist = null;
      this.#entries.delete(entry.key);
      this.#fail(member, error);
    } finally {
      entry.uses--;
      const tookMs = performance.now() - startedAt;
      if (member.state === 'warm') Object.assign(member, { at: performance.now(), loadMs: tookMs });
      metrics.poolLoad({ what: 'bundle' }, tookMs / 1_000);
      this.#tellBytes();
      this.wake();
    }
  }

  #fail(member: Member, error: unknown): void {
    Object.assign(member, { state: 'failed', at: performance.now() });
    this.#options.onFailed(member.name, error);
    this.wake();
  }

  /** Keeps a bundle that is warm in memory, for a turn. @returns ends that */
  keep(bundle: string): () => void {
    const member = this.#member(bundle);
    const entry = this.#entries.get(keyOf(member, 'bundle', ''));
    if (!entry?.isThere) throw new Error(`Bundle ${bundle} is not loaded`);
    if (!member.isFresh) metrics.warm({ what: 'bundle', result: 'hit' });
    member.isFresh = false;
    this.#current = member;
    return this.#use([entry]);
  }

  /**
   * Draws pictures of a bundle that is kept, once there is room for what they need and the networks of other bundles are free.
   *
   * @returns as an artist's, and each fails with `memory_short` when what they need never fits
   */
  drawTogether(
    bundle: string,
    pictures: readonly PooledPicture[],
    loras: readonly LoraChoice[],
  ): Promise<DrawnTogether>[] {
    const drawn = this.#draw(this.#member(bundle), pictures, loras);
    return pictures.map(async (_, i) => (await drawn)[i]!.result);
  }

  /** Each boxed: a promise of promises would wait for the first of them. */
  async #draw(
    member: Member,
    pictures: readonly PooledPicture[],
    loras: readonly LoraChoice[],
  ): Promise<readonly { readonly result: Promise<DrawnTogether> }[]> {
    const turn = {};
    const needs = this.#measuredNeeds(member, pictures, loras);
    const { artist, end } = await this.#inLine(async () => {
      for (;;) {
        if ([...this.#drawing.values()].some((other) => other !== member)) await this.changed();
        else {
          const plan = planFor(this.#options.budget, this.#kept(), needs);
          if (plan.fits === 'now') {
            await this.#letGo(plan.out);
            const end = this.#use(needs.map((need) => this.#enter(member, need)));
            if (!member.artist) throw new Error(`Bundle ${member.name} is not loaded`);
            this.#drawing.set(turn, member);
            return { artist: member.artist, end };
          }
          if (plan.fits === 'never') throw this.#tooLarge(plan);
          await this.changed();
        }
      }
    });
    const results = artist.drawTogether(pictures, loras).map((result) => ({ result }));
    const free = () => {
      this.#drawing.delete(turn);
      this.wake();
    };
    // A thread that broke ends the worker.
    artist.rest().then(free, free);
    void Promise.allSettled(results.map(({ result }) => result)).then(end);
    return results;
  }

  /** Faces in a photo, by whichever bundle is there. */
  async countFaces(photo: Uint8Array): Promise<number> {
    for (;;) {
      const there = [...this.#entries.values()].filter(({ what, isThere }) => what === 'bundle' && isThere);
      const [latest] = there.sort((a, b) => b.usedAt - a.usedAt);
      if (latest?.member.artist) {
        const end = this.#use([latest]);
        try {
          return await latest.member.artist.countFaces(photo);
        } finally {
          end();
        }
      }
      const loading = [...this.#members.values()].find(({ state }) => state === 'loading');
      const [first] = this.usable;
      if (!loading && first === undefined) throw new Error('No bundle is there to look for faces with');
      const change = this.changed();
      const fits = await this.load(loading?.name ?? first!);
      if (fits === 'never') throw new Error('No bundle fits into memory');
      await change;
    }
  }

  /** Ids of the photos whose faces are remembered. */
  async faces(): Promise<readonly string[]> {
    const known = await Promise.all(this.#artists().map((artist) => artist.faces()));
    return [...new Set(known.flat())];
  }

  /** Forgets every face that has one of these photos, whoever draws with it. */
  async forget(photoIds: readonly string[]): Promise<void> {
    const gone = new Set(photoIds);
    for (const { key, photoIds: own } of this.#entries.values())
      if (own.some((id) => gone.has(id))) this.#entries.delete(key);
    this.#tellBytes();
    await Promise.all(this.#artists().map((artist) => artist.forget(photoIds)));
  }

  /** Ends all, whatever it does; what is being loaded is let load first: to end a thread that opens a network crashes the process. */
  async close(): Promise<void> {
    this.wake();
    await this.#loading;
    await Promise.all(this.#artists().map((artist) => artist.close()));
  }

  #artists(): Artist[] {
    return [...this.#members.values()].flatMap(({ artist }) => artist ?? []);
  }

  #member(bundle: string): Member {
    const member = this.#members.get(bundle);
    if (!member) throw new Error(`There is no bundle ${bundle} here`);
    return member;
  }

  #kept() {
    return [...this.#entries.values()].map(keptOf);
  }

  /** What pictures are drawn with, and takes as far as is known. */
  #measuredNeeds(member: Member, pictures: readonly PooledPicture[], loras: readonly LoraChoice[]) {
    return needsOf(member, pictures, loras).map((need) => ({
      ...need,
      bytes: this.#measured.get(need.key) ?? need.bytes,
      within: withinOf(member, need.what),
    }));
  }

  #needed(member: Member) {
    return [{ ...needOf(member), within: null }];
  }

  #enter(member: Member, { key, what, name, bytes, photoIds, faceId }: Need, isAhead = false): Entry {
    const known = this.#entries.get(key);
    if (known && !isAhead) known.isAhead = false;
    const entry = known ?? {
      isAhead,
      key,
      what,
      member,
      name,
      bytes,
      photoIds,
      faceId,
      usedAt: 0,
      uses: 0,
      isThere: false,
    };
    this.#entries.set(key, entry);
    // Of a folder that has other photos by now, those of before are nobody's.
    if (faceId !== null)
      for (const other of this.#entries.values()) if (other.faceId === faceId) other.faceId = null;
    entry.faceId = faceId;
    this.#tellBytes();
    return entry;
  }

  /** They are drawn with. @returns ends that; what did not come into memory by then is not kept */
  #use(entries: readonly Entry[]): () => void {
    const now = ++this.#uses;
    for (const entry of entries) {
      entry.uses++;
      entry.usedAt = now;
      const bundle = this.#entries.get(keyOf(entry.member, 'bundle', ''));
      if (bundle) bundle.usedAt = now;
    }
    return () => {
      for (const entry of entries) {
        entry.uses--;
        if (!entry.uses && !entry.isThere) this.#entries.delete(entry.key);
      }
      this.#tellBytes();
      this.wake();
    };
  }

  #measure(key: string, bytes: number): void {
    this.#measured.set(key, bytes);
    const entry = this.#entries.get(key);
    if (!entry) return;
    entry.isThere = true;
    entry.bytes = bytes;
    this.#tellBytes();
  }

  /** Nothing of it is in use. */
  async #letGo(keys: readonly string[]): Promise<void> {
    const entries = keys.flatMap((key) => this.#entries.get(key) ?? []);
    const leaving = entries.filter(({ what }) => what === 'bundle').map(({ member }) => member);
    for (const { key, what } of entries) {
      this.#entries.delete(key);
      metrics.evicted({ what });
    }
    // What lives within a bundle that leaves goes with it.
    const dropped = entries.filter(({ what, member }) => what !== 'bundle' && !leaving.includes(member));
    const artists: { readonly artist: Artist; readonly member: Member }[] = leaving.flatMap((member) =>
      member.artist ? [{ artist: member.artist, member }] : [],
    );
    for (const member of leaving) Object.assign(member, { state: 'cold', artist: null });
    await Promise.all([
      ...artists.map(({ artist, member }) => {
        log.info({ bundle: member.name }, 'a bundle goes out of memory');
        return artist.leave();
      }),
      ...[...Map.groupBy(dropped, ({ member }) => member)].map(([{ artist }, own]) =>
        artist?.drop(
          own.filter(({ what }) => what === 'loras').map(nameOf),
          own.filter(({ what }) => what === 'face').map(nameOf),
        ),
      ),
    ]);
    this.#tellBytes();
  }

  #tooLarge({ bytes, pinned }: Extract<Plan, { fits: 'never' }>): UserError {
    log.error({ bytes, pinned, budget: this.#options.budget }, 'more than memory has room for');
    return new UserError('memory_short', {});
  }

  #tellBytes(): void {
    const of = (kind: Entry['what']) => sum([...this.#entries.values()].filter(({ what }) => what === kind));
    metrics.poolBytes((['bundle', 'loras', 'face'] as const).map((what) => [{ what }, of(what)]));
  }

  #inLine<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#line.then(work);
    this.#line = done.catch(() => {});
    return done;
  }
}

const needOf = (member: Member): Need => ({
  key: keyOf(member, 'bundle', ''),
  what: 'bundle',
  name: member.name,
  bytes: member.bytes,
  photoIds: [],
  faceId: null,
});

/** What pictures are drawn with: the bundle, the LoRAs in it, and each face once. */
function needsOf(member: Member, pictures: readonly PooledPicture[], loras: readonly LoraChoice[]): Need[] {
  const needs = new Map<string, Need>();
  const need = (one: Need) => needs.set(one.key, one);
  need(needOf(member));
  if (loras.length) {
    const name = sayLoras(loras);
    const key = keyOf(member, 'loras', name);
    need({ key, what: 'loras', name, bytes: member.loraBytes, photoIds: [], faceId: null });
  }
  for (const { face, faceId } of pictures) if (face) need(needOfFace(member, face, faceId));
  return [...needs.values()];
}

function needOfFace(member: Member, face: FacePhotos, faceId: string | null): Need {
  const name = faceKey(face);
  const { photoIds } = face;
  const bytes = PHOTO_BYTES * photoIds.length;
  return { key: keyOf(member, 'face', name), what: 'face', name, bytes, photoIds, faceId };
}

const withinOf = (member: Member, what: Entry['what']) =>
  what === 'bundle' ? null : keyOf(member, 'bundle', '');

const keptOf = ({ key, what, member, bytes, usedAt, uses }: Entry) => ({
  key,
  within: withinOf(member, what),
  level: what === 'bundle' ? member.level : ('demand' as const),
  bytes,
  usedAt,
  inUse: uses > 0,
});

const nameOf = ({ name }: { readonly name: string }) => name;
const sum = (all: readonly { readonly bytes: number }[]) =>
  all.reduce((total, { bytes }) => total + bytes, 0);
