import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, expectTypeOf, it, onTestFinished, vi } from 'vitest';
import { db } from '#src/doors/db.ts';
import { queues } from '#src/doors/queue.ts';
import {
  askIdea,
  failIdea,
  finishIdea,
  type NewIdea,
  requeueWaitingIdeas,
  startIdea,
  waitForIdeas,
} from '#src/ideas.ts';
import { type CheckedPrompt, checkPrompt } from '#src/moderation/words.ts';
import { snowflake } from '#test/support/requests.ts';

const thought = {
  idea: 'An idea.',
  categories: { themes: ['a'] },
  keywords: ['a'],
  prompt: 'portrait of a man',
  source: 'composer',
  fallback: false,
};

let userId: string;
beforeAll(async () => {
  userId = snowflake();
  await db.user.create({ data: { id: userId } });
});
const ask = (words: CheckedPrompt | '' = checkPrompt('paper moon')) => askIdea({ userId, words, seed: 3 });

describe('ideas', () => {
  it('are written, and their job carries nothing but the id', async () => {
    const idea = await ask();
    expect(idea).toMatchObject({ state: 'waiting', words: 'paper moon', seed: 3n });
    await expect.poll(() => queues().ids('idea')).toContain(idea.id);
  });

  it('keep nobody waiting for a queue that never answers', async () => {
    const add = vi.spyOn(queues(), 'add').mockReturnValue(new Promise(() => {}));
    onTestFinished(() => add.mockRestore());
    const { id, state } = await ask();
    expect(state).toBe('waiting');
    expect(add).toHaveBeenCalledOnce();
    await finishIdea(id, thought);
  });

  it('may be asked for without words, and with none that were not checked: a model could reword them', async () => {
    await expect(ask('')).resolves.toMatchObject({ words: '' });
    expectTypeOf<string>().not.toExtend<NewIdea['words']>();
  });

  it('end once: the first end counts', async () => {
    const { id } = await ask();
    expect(await startIdea(id)).toMatchObject({ id });
    expect(await finishIdea(id, thought)).toBe(true);
    expect(await finishIdea(id, { ...thought, prompt: 'another' })).toBe(false);
    expect(await failIdea(id, 'internal')).toBe(false);
    expect(await startIdea(id)).toBeNull();
    expect(await db.idea.findUnique({ where: { id } })).toMatchObject({
      state: 'ready',
      prompt: 'portrait of a man',
    });
  });

  it('are waited for in the order asked; a failed one has no prompt', async () => {
    const [first, second] = [await ask(), await ask()];
    setTimeout(() => void failIdea(first.id, 'mecene_failed'), 200);
    setTimeout(() => void finishIdea(second.id, thought), 50);
    const ids = [second.id, first.id];
    const ideas = await waitForIdeas(ids, { timeoutMs: 5_000 });
    expect(ideas.map(({ id, prompt, failure }) => [id, prompt, failure])).toEqual([
      [second.id, 'portrait of a man', null],
      [first.id, null, 'mecene_failed'],
    ]);
  });

  it('keep nobody waiting for ever', async () => {
    const { id } = await ask();
    await expect(waitForIdeas([id], { timeoutMs: 200 })).rejects.toMatchObject({ code: 'busy' });
    await expect(waitForIdeas([randomUUID()], { timeoutMs: 0 })).rejects.toMatchObject({ code: 'busy' });
    await expect(waitForIdeas([], { timeoutMs: 0 })).resolves.toEqual([]);
  });

  it('that wait and are not in the queue are put back, once', async () => {
    const { id } = await ask();
    await expect.poll(() => queues().remove('idea', id)).toBe(true);
    expect(await requeueWaitingIdeas(queues(), new Date())).toBe(0);
    const later = new Date(Date.now() + 10_000);
    expect(await requeueWaitingIdeas(queues(), later)).toBe(1);
    expect(await queues().ids('idea')).toContain(id);
    expect(await requeueWaitingIdeas(queues(), later)).toBe(0);
  });
});
