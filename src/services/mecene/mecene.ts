/**
 * The `mecene` service: takes ideas that wait and makes prompts of them.
 *
 * With a language model set, it is asked first. When it is away, too slow, talks nonsense or writes what may not be drawn,
 * the built-in composer takes over and the row says so: a person who waits gets an idea in any case.
 */
import { type Config, config } from '#config/env.ts';
import type { Idea } from '#src/doors/db.ts';
import { log, withContext } from '#src/doors/log.ts';
import { type Queues, queues } from '#src/doors/queue.ts';
import { UserError } from '#src/errors.ts';
import { failIdea, finishIdea, requeueWaitingIdeas, startIdea, type Thought } from '#src/ideas.ts';
import { checkName, checkPrompt, prepareRules } from '#src/moderation/words.ts';
import { message } from '#src/say.ts';
import { keepToRules } from '../rules.ts';
import { makeComposer } from './composer.ts';
import { type Beginning, type Made, think, type Writer } from './graph.ts';
import { makeModelWriter } from './models.ts';
import { cleanWords } from './words.ts';

/** ideas at once; a command asks for ten at most */
const CONCURRENCY = 5;
const RECONCILE_MS = 5_000;

export interface MeceneOptions {
  readonly settings?: Config['mecene'];
  readonly via?: Queues;
  /** how long one answer of a model may take */
  readonly answerMs?: number;
  /** how long a model's four answers may take together */
  readonly ideaMs?: number;
}

/** @throws {Error} naming a variable that the set model needs */
export async function startMecene(options: MeceneOptions = {}): Promise<{ close(): Promise<void> }> {
  prepareRules();
  const { settings = config.mecene, via = queues(), answerMs = 20_000, ideaMs = 45_000 } = options;
  const composer = makeComposer();
  const model = await makeModelWriter(settings, answerMs);

  const worker = via.work(
    'idea',
    ({ ideaId }, { signal, lastAttempt }) =>
      withContext({ ideaId }, async () => {
        const idea = await startIdea(ideaId);
        if (!idea) return;
        try {
          const thought = await thinkOf(idea, model, composer, signal, ideaMs);
          await finishIdea(ideaId, thought);
          log.info({ source: thought.source, fallback: thought.fallback }, 'idea ready');
        } catch (error) {
          if (lastAttempt && !signal.aborted) {
            log.error({ err: error }, 'idea failed');
            await failIdea(ideaId, 'mecene_failed');
          }
          throw error;
        }
      }),
    { concurrency: CONCURRENCY, lockMs: 30_000 },
  );

  const stopFollowing = keepToRules();
  let reconciling: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    reconciling = requeueWaitingIdeas(via).catch((error: unknown) => log.warn({ err: error }, 'reconciler'));
  }, RECONCILE_MS);
  log.info({ writer: model?.name ?? composer.name }, 'mecene is ready');

  return {
    async close() {
      clearInterval(timer);
      await reconciling;
      await stopFollowing();
      await worker.close();
    },
  };
}

async function thinkOf(
  { words, seed }: Idea,
  model: Writer | null,
  composer: Writer,
  signal: AbortSignal,
  ideaMs: number,
): Promise<Thought> {
  const begin = { words: cleanWords(words), seed };
  if (model) {
    try {
      const made = await think(model, begin, AbortSignal.any([signal, AbortSignal.timeout(ideaMs)]));
      mayBeDrawn(made);
      return { ...made, source: model.name, fallback: false };
    } catch (error) {
      if (signal.aborted) throw error;
      // The error's name, not its text: a model's error may quote the words.
      const reason = error instanceof Error ? error.name : 'unknown';
      log.warn({ model: model.name, reason }, 'the model was of no use: the composer takes over');
    }
  }
  return { ...(await composed(composer, begin, signal)), source: composer.name, fallback: model !== null };
}

/** What the composer adds to words that may be drawn can make them what may not be: then it takes none of them. */
async function composed(composer: Writer, begin: Beginning, signal: AbortSignal): Promise<Made> {
  const made = await think(composer, begin, signal);
  try {
    mayBeDrawn(made);
    return made;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return think(composer, { ...begin, words: '' }, signal);
  }
}

/** The same gate that a typed prompt passes; it is passed again when the idea is drawn. @throws {UserError} */
function mayBeDrawn({ idea, prompt, categories }: Made): void {
  checkPrompt(prompt);
  checkPrompt(idea);
  checkName(Object.values(categories).flat().join(', '), message('The idea'));
}
