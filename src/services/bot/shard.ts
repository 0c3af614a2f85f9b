/**
 * A process for some of the bot's shards. It loads what they need at once, and learns from its parent which they are: so it can be
 * started before anybody knows. It ends with its parent.
 */
import { run } from '../run.ts';
import { prepareGatewayThread } from './gateway-worker.ts';

prepareGatewayThread();
const loading = import('./shards.ts');
loading.catch(() => {}); // told below, to whoever has asked for shards

const leave = () => process.exit();
process.once('disconnect', leave);
process.once('message', (raw) => {
  process.off('disconnect', leave);
  void run('bot', async () => {
    const { ShardsToStart, startShards } = await loading;
    return startShards(ShardsToStart.parse(raw));
  });
});
