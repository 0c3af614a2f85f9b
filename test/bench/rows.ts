/**
 * What a picture's rows cost, beside bare `pg` that writes the same rows in one statement a transaction, in the same run on the same
 * Postgres: accepting alone, and a picture's whole way without the drawing and without Discord.
 */
import { onOwnPostgres } from './own-postgres.ts';

export const accept = () => onOwnPostgres('./rows-measured.ts', 'accept');
export const lifecycle = () => onOwnPostgres('./rows-measured.ts', 'lifecycle');
