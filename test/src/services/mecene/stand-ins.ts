/** Language models on the loopback: an OpenAI-compatible endpoint and Ollama, that answer as they are told. */
import { createServer } from 'node:http';
import { z } from 'zod';

const Asked = z.object({
  model: z.string(),
  messages: z.array(z.object({ role: z.string(), content: z.string() })),
});

export interface StandIn {
  readonly openai: string;
  readonly ollama: string;
  /** the messages of each call, as one text */
  readonly calls: { system: string; said: string; model: string }[];
  /** What it says to the n-th call, from 1; a number is an HTTP status, null never answers. */
  reply: (said: string, call: number) => string | number | null;
  close(): Promise<void>;
}

/** What a good model says to each form. */
export function goodReply(said: string): string {
  const idea =
    'An old fisherman sits on a wooden pier before a stormy sea, with a grey beard and a yellow coat, looking at us with ' +
    'kind and tired eyes while the evening light breaks through heavy clouds behind the harbour and gulls cross the sky.';
  const categories = {
    themes: ['memory', 'work'],
    colors: ['yellow', 'grey'],
    styles: ['realism', 'impressionist'],
    mediums: ['oil painting', 'gouache'],
    subjects: ['fisherman', 'beard', 'coat'],
    emotions: ['kind', 'tired'],
    time: ['evening', 'storm'],
    places: ['harbour', 'sea'],
  };
  if (said.includes('"prompt"')) {
    return JSON.stringify({
      prompt: 'portrait of an old fisherman, grey beard, yellow coat, stormy sea, evening light',
    });
  }
  if (said.includes('Choose the 15'))
    return JSON.stringify({ keywords: Object.values(categories).flat().reverse() });
  if (said.includes('eight categories')) return JSON.stringify(categories);
  return JSON.stringify({ idea });
}

export async function startStandIn(): Promise<StandIn> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { model, messages } = Asked.parse(JSON.parse(Buffer.concat(chunks).toString()));
      const of = (role: string) =>
        messages
          .filter((m) => m.role === role)
          .map((m) => m.content)
          .join('\n');
      const [system, said] = [of('system'), of('user')];
      standIn.calls.push({ system, said, model });
      const reply = standIn.reply(said, standIn.calls.length);
      if (reply === null) return;
      if (typeof reply === 'number') return void response.writeHead(reply).end('{"error":{"message":"no"}}');
      response.setHeader('content-type', 'application/json');
      if (request.url?.endsWith('/chat/completions')) {
        response.end(
          JSON.stringify({
            id: 'x',
            object: 'chat.completion',
            created: 0,
            model,
            choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: reply } }],
            usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
          }),
        );
      } else {
        const line = { model, created_at: new Date(0).toISOString() };
        response.write(
          `${JSON.stringify({ ...line, message: { role: 'assistant', content: reply }, done: false })}\n`,
        );
        response.end(
          `${JSON.stringify({ ...line, message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop' })}\n`,
        );
      }
    });
  });
  await new Promise<void>((up) => server.listen(0, '127.0.0.1', up));
  const address = server.address();
  const base = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  const standIn: StandIn = {
    openai: `${base}/v1`,
    ollama: base,
    calls: [],
    reply: goodReply,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
  return standIn;
}
