/** In the demo, Operator has set up both servers: pressed what the bot's greeting asks for, as somebody must in a real one. */
import type { APIMessage } from 'discord-api-types/v10';
import { connectPerson, textOf } from './discord/person.ts';
import type { Sandbox } from './discord/sandbox.ts';

const GREETED_WITHIN_MS = 20_000;

/** Nothing to do where it was done before. @throws {Error} when no greeting comes */
export async function setUpServers({ pageUrl }: Sandbox): Promise<void> {
  await Promise.all(
    ([0, 1] as const).map(async (guild) => {
      const operator = await connectPerson(pageUrl, { person: 'operator', guild, channel: 'portraits' });
      try {
        const isGreeting = (message: APIMessage) => textOf(message).startsWith('### Hello');
        const greeting = await operator.waitForMessage(isGreeting, { timeoutMs: GREETED_WITHIN_MS });
        if (!textOf(greeting).includes('Set up')) return;
        await operator.press(greeting, 'Set up');
        const found = await operator.waitForReply();
        await operator.press(found, 'Use these');
        const chosen = await operator.waitForEdit(found, (now) => textOf(now).includes('Review channel: <#'));
        await operator.dismiss(chosen);
      } finally {
        operator.close();
      }
    }),
  );
}
