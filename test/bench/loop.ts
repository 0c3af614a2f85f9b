/** How long the event loop of the bot's shards is held by what one person can put on it. */
import { onOwnPostgres } from './own-postgres.ts';

export const loop = () => onOwnPostgres('./loop-measured.ts');
