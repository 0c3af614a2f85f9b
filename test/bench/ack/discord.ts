/** The local Discord, in a process of its own: notes when each interaction went to the bot, and when what came for it. */
import { startSandbox } from '#infra/local/discord/sandbox.ts';
import { APPLICATION_ID, CROWD, type Report, TOKEN } from './protocol.ts';

interface Times {
  readonly sent: number;
  calledBack?: number | undefined;
  deferred?: true;
  answered?: number;
}

let times = new Map<string, Times>();
const sandbox = await startSandbox({
  token: TOKEN,
  applicationId: APPLICATION_ID,
  rateLimits: false,
  shards: 1,
  crowd: CROWD,
  onMoment({ interactionId: id, what }) {
    const now = performance.now();
    if (what === 'sent') times.set(id, { sent: now });
    const known = times.get(id);
    if (what === 'deferred' && known) known.deferred = true;
    if (known) known.calledBack ??= what === 'sent' ? undefined : now;
    if (what === 'answered' && known) known.answered = now;
  },
});

process.on('message', (what) => {
  if (what === 'begin') times = new Map();
  const all = [...times.values()];
  const since = (key: 'calledBack' | 'answered') =>
    all.flatMap((one) => (one[key] === undefined ? [] : one[key] - one.sent));
  process.send?.({
    sent: all.length,
    acknowledged: since('calledBack'),
    answered: since('answered'),
    worked: all.filter(({ deferred }) => deferred).length,
  } satisfies Report);
});
process.on('disconnect', () => process.exit());
process.send?.({ apiUrl: sandbox.apiUrl, pageUrl: sandbox.pageUrl });
