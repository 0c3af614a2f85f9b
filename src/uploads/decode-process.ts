/** The process that decodes one photo: a file on stdin; on stdout a PNG, or JSON that says why not. See apart.ts. */
import { buffer } from 'node:stream/consumers';
import { endAbove } from './bounds.ts';
import { decodePhoto } from './decode.ts';

endAbove(process.argv[2]);

const decoded = await decodePhoto(await buffer(process.stdin));
process.stdout.write(Buffer.isBuffer(decoded) ? decoded : JSON.stringify(decoded));
