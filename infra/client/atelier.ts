// A client of Atelier's API, made of its description: not to be edited. It needs nothing but `fetch`.

/** What is asked for. */
export interface NewBatch {
  /** What to draw, in your own words. */
  prompt: string;
  /** Pictures, each with a seed of its own. */
  count?: number;
  /** Name of one of your face folders. */
  face?: string | null;
  /** Name → value, as `GET /parameters` has them; the others are as you set them. */
  parameters?: Record<string, string | number | boolean | null>;
  pipeline?: "portrait" | "posed";
  /** Of `posed`: an image whose pose is taken, as a `data:` URL. Not there yet. */
  pose?: string | null;
}

/** Somebody has read the text and agrees to it, for these photos. */
export interface NewConsent {
  /** Of the text that was read. */
  version: number;
  /** Ids of photos that are `checked`. */
  photos: Array<string>;
}

/** Name → value. */
export type NewValues = Record<string, string | number | boolean | null>;

/** Why it was not done (RFC 9457). */
export interface Problem {
  /** Address of what the documentation says of it. */
  type: string;
  /** What kind of refusal it is, by its status. */
  title: string;
  status: number;
  /** One sentence for a person. */
  detail: string;
  /** For programs: it stays as it is when the sentence changes. */
  code: string;
  /** Of a body or a query: what is wrong where. */
  faults?: Array<{ at: string; detail: string }>;
  /** Of a fault of ours: quote it to whoever runs this. */
  errorId?: string;
}

/** Tokens, the same in Discord and here. */
export interface Balance {
  /** That can be spent now. */
  tokens: number;
  /** Come every day, until there are `max`. */
  daily: number;
  max: number;
  /** Whether they are a guest’s, who gets no more. */
  isGuest: boolean;
}

/** One picture of a batch. */
export interface Picture {
  id: string;
  /** In its batch. */
  number: number;
  /** `held`: moderators look at it first. `gone`: it was deleted, or they kept it back. */
  state: "waiting" | "running" | "done" | "held" | "failed" | "cancelled" | "gone";
  /** Share of its steps that are done. */
  progress: number;
  /** Which part of its work it is in; null: not begun, or ended. */
  stage: string | null;
  /** px */
  width: number;
  /** px */
  height: number;
  /** null: it is somebody else’s. */
  prompt: string | null;
  /** Draws it again, with the same parameters; null: it is somebody else’s. */
  seed: number | null;
  /** Cosine of the drawn face and the face folder’s mean; null: no face was asked for, or found. */
  likeness: number | null;
  /** Why it was not drawn; its tokens are back. */
  failure: { code: string; detail: string } | null;
  /** Its bytes; null until it is done. */
  content: string | null;
  /** Its page in the public gallery; null: it is not published. */
  page: string | null;
}

/** All that was asked for at once. */
export interface Batch {
  id: string;
  /** What asked for it: the API makes `imagine`. */
  kind: "imagine" | "face_test" | "sweep";
  /** `stopped` and `cancelled` ones may still have pictures that are drawn: see `endedAt`. */
  state: "open" | "stopped" | "cancelled" | "finished";
  title: string;
  /** How soon, at what price. */
  tier: string;
  /** What it cost when it was asked for; what was not drawn is given back. */
  tokens: number;
  /** When it was asked for. */
  createdAt: string;
  /** When its last picture had ended; null: it goes on. */
  endedAt: string | null;
  /** Where it stands; null in lists, and once it has ended. */
  wait: { ahead: number; readyWithin: number | null } | null;
  /** Pictures in all. */
  count: number;
  /** The first 60; all of them are at `/pictures` below it. */
  pictures: Array<Picture>;
  /** Its page, for its owner’s browser. */
  page: string;
}

export interface BatchPage {
  items: Array<Batch>;
  /** Give it as `cursor` for what comes after; null: these were the last. */
  next: string | null;
}

export interface PicturePage {
  items: Array<Picture>;
  /** Give it as `cursor` for what comes after; null: these were the last. */
  next: string | null;
}

/** A model that pictures can be drawn with. */
export interface Bundle {
  /** A value of the parameter `bundle`. */
  name: string;
  title: string;
  /** Made for tests and demonstrations: not a trained model. */
  standIn: boolean;
  /** null: not known here */
  licence: string | null;
  /** Name → size: values of the parameter `shape`. */
  shapes: Record<string, { width: number; height: number }>;
  /** Names for the parameter `lora`; null: no worker says. */
  loras: Array<string> | null;
  isDefault: boolean;
}

export interface BundleList {
  items: Array<Bundle>;
}

/** A face folder, in a list. */
export interface ListedFace {
  id: string;
  name: string;
  /** That may be used. */
  photos: number;
}

/** One photo of a face folder. Its bytes are given to nobody. */
export interface Photo {
  id: string;
  /** `checking`: a worker looks at it. `checked`: one face was found, and it waits for consent. `accepted`: it may be used. */
  state: "checking" | "checked" | "accepted" | "rejected";
  /** Why it was rejected, as `face_none`; null otherwise. */
  reason: string | null;
  /** px */
  width: number;
  /** px */
  height: number;
  /** When its person agreed; null: not yet. */
  consentAt: string | null;
}

/** A face folder with its photos. */
export interface Face {
  id: string;
  name: string;
  photos: Array<Photo>;
  consent: { version: number; text: string };
}

export interface FaceList {
  items: Array<ListedFace>;
}

/** A named, typed, bounded setting. */
export interface Parameter {
  name: string;
  type: "number" | "integer" | "boolean" | "choice" | "text" | "loras";
  title: string;
  description: string;
  group: "picture" | "drawing" | "face" | "queue";
  /** Only operators may set it. */
  operators: boolean;
  /** As it is for you. */
  value: string | number | boolean | null;
  /** null: not set */
  default: string | number | boolean | null;
  min?: number;
  max?: number;
  /** Values are rounded to multiples of it. */
  step?: number;
  choices?: Array<string>;
  /** Characters. */
  maxLength?: number;
}

export interface ParameterList {
  items: Array<Parameter>;
}

/** What was refused, or broke. */
export class AtelierProblem extends Error {
  readonly problem: Problem;
  /** s after which it may be asked again; null: no matter when */
  readonly retryAfter: number | null;

  constructor(problem: Problem, retryAfter: number | null) {
    super(problem.detail);
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

type Given = Readonly<Record<string, unknown>>;

/** @param options where Atelier is, and a key from its account page */
export function atelier({ url, key, fetch: send = fetch }: { url: string; key?: string; fetch?: typeof fetch }) {
  async function ask(method: string, path: string, { body, idempotencyKey, ...given }: Given = {}): Promise<Response> {
    const inPath = new Set<string>();
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
      inPath.add(name);
      return encodeURIComponent(String(given[name]));
    });
    const target = new URL(filled, url);
    for (const [name, value] of Object.entries(given))
      if (value !== undefined && !inPath.has(name)) target.searchParams.set(name, String(value));
    const headers = new Headers();
    if (key) headers.set('authorization', `Bearer ${key}`);
    if (idempotencyKey) headers.set('idempotency-key', String(idempotencyKey));
    const isForm = body instanceof FormData;
    if (body !== undefined && !isForm) headers.set('content-type', 'application/json');
    const content = body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) };
    const response = await send(target, { method, headers, ...content });
    if (response.ok) return response;
    const after = response.headers.get('retry-after');
    throw new AtelierProblem((await response.json()) as Problem, after === null ? null : Number(after));
  }
  const json = async <T>(...asked: Parameters<typeof ask>) => (await (await ask(...asked)).json()) as T;
  const bytes = async (...asked: Parameters<typeof ask>) => (await ask(...asked)).blob();
  const nothing = async (...asked: Parameters<typeof ask>): Promise<void> => void (await ask(...asked));

  /** Until the server says that it has ended; a stream that breaks off before is opened anew. */
  async function* events<T>(...asked: Parameters<typeof ask>): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const reader = (await ask(...asked)).body!.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      try {
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          const parts = (text + value).split('\n\n');
          text = parts.pop() ?? '';
          for (const part of parts) {
            const [, name] = /^event: (.*)$/m.exec(part) ?? [];
            if (name === 'end') return;
            const [, data] = /^data: (.*)$/m.exec(part) ?? [];
            if (name && data) yield JSON.parse(data) as T;
          }
        }
      } finally {
        await reader.cancel();
      }
    }
  }

  return {
    /** Ask for pictures. Takes its tokens and puts it into the backlog. Without a key or a session it makes a guest, who has a few tokens and comes back in the answer’s cookie. */
    createBatch: (given: { idempotencyKey?: string; body: NewBatch }) => json<Batch>('POST', '/api/v1/batches', given),
    /** List your batches. The newest first, those of Discord and of the web with them. */
    listBatches: (given: { cursor?: string; limit?: number } = {}) => json<BatchPage>('GET', '/api/v1/batches', given),
    /** Get a batch. */
    getBatch: (given: { id: string }) => json<Batch>('GET', '/api/v1/batches/{id}', given),
    /** Watch a batch. Server-sent events: `batch` with the whole batch whenever something of it changed, and `end` once it has ended. A stream lives for five minutes; open it anew then. */
    watchBatch: (given: { id: string }) => events<Batch>('GET', '/api/v1/batches/{id}/events', given),
    /** Cancel a batch. What waits ends at once and what is drawn at its next step; their tokens come back. Nothing happens to one that has ended. */
    cancelBatch: (given: { id: string }) => json<Batch>('POST', '/api/v1/batches/{id}/cancel', given),
    /** List a batch’s pictures. */
    listPictures: (given: { cursor?: string; limit?: number; id: string }) => json<PicturePage>('GET', '/api/v1/batches/{id}/pictures', given),
    /** Get a picture. Your own, or anybody’s that is published. `id` may be that of its page in the gallery. */
    getPicture: (given: { id: string }) => json<Picture>('GET', '/api/v1/pictures/{id}', given),
    /** Get a picture’s bytes. PNG as it was drawn, or with `width` a smaller WebP. Both carry the mark that a machine made them. */
    getPictureContent: (given: { width?: "320" | "640"; id: string }) => bytes('GET', '/api/v1/pictures/{id}/content', given),
    /** Add photos to a face folder. Makes the folder if there is none of that name. Up to 5 photos at once, each with one face and at most 10 MiB: JPEG, PNG, WebP or AVIF. Nothing is drawn with them before `consent`; without it they are deleted within an hour. */
    addPhotos: (given: { body: FormData }) => json<Face>('POST', '/api/v1/faces', given),
    /** List your face folders. */
    listFaces: () => json<FaceList>('GET', '/api/v1/faces'),
    /** Get a face folder. */
    getFace: (given: { id: string }) => json<Face>('GET', '/api/v1/faces/{id}', given),
    /** Delete a face folder. Withdraws the consent: all its photos are deleted, and what was to be drawn with them is not. */
    deleteFace: (given: { id: string }) => nothing('DELETE', '/api/v1/faces/{id}', given),
    /** Consent to photos. Say so only for whoever is in the photos, or with their clear permission. It is recorded with the text. */
    consent: (given: { id: string; body: NewConsent }) => json<Face>('POST', '/api/v1/faces/{id}/consent', given),
    /** Refuse consent. All photos without consent are deleted, and the folder with them if it has no others. */
    refuseConsent: (given: { id: string }) => nothing('POST', '/api/v1/faces/{id}/refuse', given),
    /** List parameters. With what they are set to for you: what pictures are drawn with unless a batch says otherwise. */
    listParameters: () => json<ParameterList>('GET', '/api/v1/parameters'),
    /** Set parameters. All or none; also for what you ask for in Discord. null takes a value away, so that the default counts. */
    setParameters: (given: { body: NewValues }) => json<ParameterList>('PATCH', '/api/v1/parameters', given),
    /** List bundles. */
    listBundles: () => json<BundleList>('GET', '/api/v1/bundles'),
    /** Get your balance. */
    getBalance: () => json<Balance>('GET', '/api/v1/balance'),
  };
}
