/**
 * The public gallery, with 10 and with 5,600 pictures: what our web service makes of a core beside a bare `node:http` that sends the same
 * bytes, in the same run; whether its memory stays flat; how soon a picture that is taken down is gone from every process; and what a
 * phone has of its first view. WEB_MINUTES is how long memory is watched, 10 for a full answer.
 */
import { onOwnPostgres } from './own-postgres.ts';

export const web = () => onOwnPostgres('./web/measured.ts');
