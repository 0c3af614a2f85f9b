/**
 * The process that looks for the marks of one file: `look-process.ts <MiB> <authorities>`, the file on stdin; on stdout what was seen, as
 * JSON. See uploads/apart.ts.
 */
import { buffer } from 'node:stream/consumers';
import { certificatesIn } from '#config/signing.ts';
import { endAbove } from '#src/uploads/bounds.ts';
import { look } from './look.ts';

const [, , mebibytes, authorities = ''] = process.argv;
endAbove(mebibytes);

const seen = await look(await buffer(process.stdin), certificatesIn(authorities));
process.stdout.write(JSON.stringify(seen));
