/** The people, in a process of their own: so many a second type and press, whether they are answered or not. */
import { setTimeout as sleep } from 'node:timers/promises';
import { REST } from '@discordjs/rest';
import { type APIApplicationCommand, type APIMessage, Routes } from 'discord-api-types/v10';
import { z } from 'zod';
import type { Ask } from '#infra/local/discord/protocol.ts';
import { registerCommands } from '#src/services/bot/register.ts';
import {
  APPLICATION_ID,
  Backlog,
  channels,
  Load,
  type Loaded,
  LocalDiscord,
  PEOPLE,
  TOKEN,
} from './protocol.ts';

const Told = z.object({ discord: LocalDiscord, buttons: Backlog });

type What = Ask extends infer A ? (A extends Ask ? Omit<A, 'person' | 'channel'> : never) : never;

/** @returns does the nth thing */
async function open({
  discord,
  buttons: generations,
}: z.output<typeof Told>): Promise<(n: number) => Promise<void>> {
  const { apiUrl, pageUrl } = discord;
  const rest = new REST({ api: apiUrl }).setToken(TOKEN);
  await registerCommands(rest, APPLICATION_ID);
  const commands = (await rest.get(Routes.applicationCommands(APPLICATION_ID))) as APIApplicationCommand[];
  const command = (name: string) => commands.find((one) => one.name === name)?.id ?? '';
  const buttons = new Map<string, { message: string; customId: string }>();
  for (const { id } of channels) {
    const customId = `v1:picture.details:${generations[id]}`;
    const button = { type: 2, style: 2, label: 'Details', custom_id: customId };
    const body = { content: 'A picture', components: [{ type: 1, components: [button] }] };
    const { id: message } = (await rest.post(Routes.channelMessages(id), { body })) as APIMessage;
    buttons.set(id, { message, customId });
  }
  const ids = { set: command('set'), queue: command('queue'), imagine: command('imagine') };

  return async (n) => {
    const channel = channels[Math.floor(n / 4) % channels.length]?.id ?? '';
    const place = { person: `crowd-${n % PEOPLE}`, channel } as const;
    const all: readonly What[] = [
      { kind: 'command', command: ids.set, options: { parameter: 'steps', value: String(20 + (n % 7)) } },
      { kind: 'command', command: ids.queue },
      { kind: 'command', command: ids.imagine, options: { prompt: `portrait of a weaver, scarf ${n}` } },
      { kind: 'component', ...(buttons.get(channel) ?? { message: '', customId: '' }) },
    ];
    const body = JSON.stringify({ ...place, ...all[n % all.length] });
    const answer = await fetch(`${pageUrl}sandbox/interactions`, { method: 'POST', body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
  };
}

let done = 0;

async function load(act: (n: number) => Promise<void>, { rate, seconds }: z.output<typeof Load>) {
  const refused = new Set<string>();
  const all: Promise<void>[] = [];
  const since = performance.now();
  let latestMs = 0;
  for (let i = 0; i < rate * seconds; i++) {
    const due = since + (i * 1_000) / rate;
    const early = due - performance.now();
    if (early > 0) await sleep(early);
    latestMs = Math.max(latestMs, performance.now() - due);
    all.push(act(done++).catch((error: unknown) => void refused.add(String(error))));
  }
  await Promise.all(all);
  process.send?.({ latestMs, refused: [...refused] } satisfies z.output<typeof Loaded>);
}

let act: Awaited<ReturnType<typeof open>> | undefined;
process.on('message', (message) => {
  const asked = Load.safeParse(message);
  if (asked.success && act) return void load(act, asked.data);
  void open(Told.parse(message)).then((opened) => {
    act = opened;
    process.send?.('ready');
  });
});
process.on('disconnect', () => process.exit());
