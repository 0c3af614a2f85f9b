/**
 * Few words become a prompt, in four steps of a LangGraph:
 *
 *   words ──imagine──▶ idea ──sort──▶ eight categories ──choose──▶ fifteen keywords ──write──▶ prompt
 *
 * Whoever writes (the built-in composer or a language model) only fills in forms: each answer must fit its step's schema,
 * with one chance to mend it. The schemas let plain text through and nothing else: no mention, link, markup or prompt
 * syntax. So the writer has no authority, whatever it was talked into: all it can give is words, and those pass the same
 * gates as words that a person typed.
 */
import { z } from 'zod';
import { CATEGORIES, type Category } from '#config/mecene.ts';

export const KEYWORDS = 15;

export type Categories = Readonly<Record<Category, readonly string[]>>;

/** What is known when a step begins. */
export interface Beginning {
  /** cleaned; may be empty */
  readonly words: string;
  /** Same words and seed, same answer, as far as the writer can. */
  readonly seed: bigint;
}
export type Step = Beginning &
  (
    | { readonly name: 'imagine' }
    | { readonly name: 'sort'; readonly idea: string }
    | { readonly name: 'choose'; readonly idea: string; readonly categories: Categories }
    | { readonly name: 'write'; readonly idea: string; readonly keywords: readonly string[] }
  );

export interface Attempt {
  readonly signal: AbortSignal;
  /** what was wrong with the first answer to this step */
  readonly faults?: string;
}

/** Who fills in the forms. An answer is checked by the graph, so it may be anything. */
export interface Writer {
  /** `composer`, or the model's name */
  readonly name: string;
  answer(step: Step, attempt: Attempt): Promise<unknown>;
}

/** A writer's second answer to a step did not fit either. */
export class UselessAnswer extends Error {
  override readonly name = 'UselessAnswer';
}

const oneLine = (text: string) => text.normalize('NFKC').replace(/\s+/gu, ' ').trim();
const line = (max: number, allowed: RegExp) =>
  z
    .string()
    .transform(oneLine)
    .pipe(z.string().min(1).max(max).regex(allowed, 'has characters that are not allowed'));
const wordsBetween = (min: number, max: number) => (text: string) => {
  const words = text.split(' ').length;
  return words >= min && words <= max;
};

const PROSE = /^[\p{L}\p{M}\p{N} .,;:!?'"’‘“”()&–—-]+$/u;
/** Without brackets and colons: those weigh words in prompts. */
const PROMPT = /^[\p{L}\p{M}\p{N} .,'’&-]+$/u;
const KEYWORD = /^[\p{L}\p{N}][\p{L}\p{M}\p{N} '’&-]*$/u;

const keyword = line(40, KEYWORD);
const ImagineAnswer = z.object({
  idea: line(700, PROSE).refine(wordsBetween(20, 90), 'must have about 50 words'),
});
const SortAnswer = z
  .object(
    Object.fromEntries(CATEGORIES.map((name) => [name, z.array(keyword).min(1).max(8)])) as Record<
      Category,
      z.ZodArray<typeof keyword>
    >,
  )
  .refine(
    (categories) => new Set(Object.values(categories).flat().map(lower)).size >= KEYWORDS,
    `must have ${KEYWORDS} different keywords in all`,
  );
/** Keywords that stand in no category are passed over; of the others the first fifteen count. */
const chooseAnswer = (categories: Categories) => {
  const known = new Map(
    Object.values(categories)
      .flat()
      .map((word) => [lower(word), word]),
  );
  return z
    .object({ keywords: z.array(z.string().max(200)).max(200) })
    .transform(({ keywords }) => {
      const chosen = keywords.flatMap((word) => known.get(lower(oneLine(word))) ?? []);
      return { keywords: [...new Set(chosen)].slice(0, KEYWORDS) };
    })
    .refine(
      ({ keywords }) => keywords.length === KEYWORDS,
      `must have ${KEYWORDS} different keywords of the categories`,
    );
};
const WriteAnswer = z.object({
  prompt: line(400, PROMPT).refine(wordsBetween(4, 60), 'must have at most 60 words'),
});

function lower(text: string): string {
  return text.toLowerCase();
}

/** The answer to one step, checked; a wrong one may be mended once. @throws {UselessAnswer} */
async function ask<S extends z.ZodType>(
  writer: Writer,
  step: Step,
  schema: S,
  signal: AbortSignal,
): Promise<z.output<S>> {
  const first = schema.safeParse(await writer.answer(step, { signal }));
  if (first.success) return first.data;
  const faults = z.prettifyError(first.error);
  const second = schema.safeParse(await writer.answer(step, { signal, faults }));
  if (second.success) return second.data;
  throw new UselessAnswer(`${writer.name} gave no valid answer to "${step.name}"`);
}

export interface Made {
  /** about 50 words */
  readonly idea: string;
  readonly categories: Categories;
  /** exactly 15, all of them in `categories` */
  readonly keywords: readonly string[];
  readonly prompt: string;
}

/** Runs the four steps. @throws {UselessAnswer}, what the writer throws, or `signal`'s reason */
export async function think(writer: Writer, begin: Beginning, signal: AbortSignal): Promise<Made> {
  // Loaded with the first idea: it is the largest import of any service, and most hours nobody asks for an idea.
  const { Annotation, END, START, StateGraph } = await import('@langchain/langgraph');
  const State = Annotation.Root({
    words: Annotation<string>,
    seed: Annotation<bigint>,
    idea: Annotation<string>,
    categories: Annotation<Categories>,
    keywords: Annotation<readonly string[]>,
    prompt: Annotation<string>,
  });
  const graph = new StateGraph(State)
    .addNode('imagine', ({ words, seed }) =>
      ask(writer, { name: 'imagine', words, seed }, ImagineAnswer, signal),
    )
    .addNode('sort', async ({ words, seed, idea }) => ({
      categories: await ask(writer, { name: 'sort', words, seed, idea }, SortAnswer, signal),
    }))
    .addNode('choose', ({ words, seed, idea, categories }) =>
      ask(writer, { name: 'choose', words, seed, idea, categories }, chooseAnswer(categories), signal),
    )
    .addNode('write', ({ words, seed, idea, keywords }) =>
      ask(writer, { name: 'write', words, seed, idea, keywords }, WriteAnswer, signal),
    )
    .addEdge(START, 'imagine')
    .addEdge('imagine', 'sort')
    .addEdge('sort', 'choose')
    .addEdge('choose', 'write')
    .addEdge('write', END)
    .compile();
  const { idea, categories, keywords, prompt } = await graph.invoke(begin, { signal });
  return { idea, categories, keywords, prompt };
}
