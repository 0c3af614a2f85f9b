/**
 * The contact sheets of 60 pictures, cold (no picture and no text in memory) and warm (all of them), beside what sharp alone takes
 * to decode the same pictures and resize them to the same cells.
 */
import { cpus } from 'node:os';
import sharp from 'sharp';
import { drawSheet, planSheets, type SheetRequest } from '#src/cards/contact-sheet/contact-sheet.ts';
import { measureSheet } from '#src/cards/contact-sheet/measure.ts';
import { takeIdentity } from '#src/marks/installation.ts';
import { sayIn } from '#src/say.ts';
import { testIdentity } from '#test/support/identity.ts';
import { type Goal, median, say } from './goal.ts';

takeIdentity(testIdentity);

const ROUNDS = 7;
const ROWS = 10;
const COLUMNS = 6;
/** px, as `/imagine` draws them */
const WIDTH = 512;
const HEIGHT = 640;
/** as many as the sheet decodes at once */
const LOADS_AT_ONCE = 6;

export async function sheet(): Promise<readonly Goal[]> {
  const pictures = await Promise.all(Array.from({ length: ROWS * COLUMNS }, drawPicture));
  const measured = sheetOf(pictures, 0);
  const [plan] = await planSheets(measured);
  if (!plan) throw new Error('no sheet');
  const { cellWidth, cellHeight } = await measureSheet(plan, measured);
  const rounds: { alone: number; cold: number; warm: number }[] = [];
  for (let round = 1; round <= 1 + ROUNDS; round++) {
    const request = sheetOf(pictures, round);
    const alone = await timed(() => resizeAll(pictures, cellWidth, cellHeight));
    const cold = await timed(() => drawAll(request));
    const warm = await timed(() => drawAll(request));
    if (round > 1) rounds.push({ alone, cold, warm }); // the first one warms up
  }
  const line = (what: string, of: 'cold' | 'warm') => {
    const ms = median(rounds.map((round) => round[of]));
    const ratio = median(rounds.map((round) => round[of] / round.alone));
    say(what, `${ms.toFixed(0)} ms, ${ratio.toFixed(2)}× sharp alone`);
  };
  say('cores', String(cpus().length));
  say(
    `${pictures.length} pictures, sharp alone`,
    `${median(rounds.map(({ alone }) => alone)).toFixed(0)} ms (medians of ${ROUNDS})`,
  );
  line('the sheets, cold', 'cold');
  line('the sheets, warm', 'warm');
  return [];
}

async function drawAll(request: SheetRequest): Promise<void> {
  for (const plan of await planSheets(request)) await drawSheet(sayIn('en'), request, plan);
}

/** @param round makes ids and labels that no other round has */
function sheetOf(pictures: readonly Buffer[], round: number): SheetRequest {
  const guidance = Array.from({ length: ROWS }, (_, i) => `${round}.${i}`);
  const steps = Array.from({ length: COLUMNS }, (_, i) => `${10 * (round + 1) + i}`);
  return {
    title: `Guidance against steps, ${round}`,
    subtitle: `round ${round}`,
    rows: [{ name: 'guidance_scale', labels: guidance }],
    columns: [{ name: 'steps', labels: steps }],
    cells: pictures.map((picture, i) => ({
      id: `bench ${round} ${i}`,
      number: i + 1,
      coordinates: {
        guidance_scale: guidance[Math.floor(i / COLUMNS)] ?? '',
        steps: steps[i % COLUMNS] ?? '',
      },
      state: 'done',
      width: WIDTH,
      height: HEIGHT,
      note: `${(round / 100).toFixed(2)}${i}`,
      load: async () => picture,
    })),
  };
}

async function resizeAll(pictures: readonly Buffer[], width: number, height: number): Promise<void> {
  const waiting = [...pictures];
  await Promise.all(
    Array.from({ length: LOADS_AT_ONCE }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift())
        await sharp(next).resize(width, height, { fit: 'inside' }).raw().toBuffer();
    }),
  );
}

/** Smooth with some grain, so that it takes as long to decode as a portrait. */
async function drawPicture(): Promise<Buffer> {
  const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
  const rough = { width: WIDTH / 8, height: HEIGHT / 8, channels: 3, background: '#000', noise } as const;
  const small = await sharp({ create: rough }).png().toBuffer();
  return sharp(small).resize(WIDTH, HEIGHT, { kernel: 'cubic' }).png().toBuffer();
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}
