/** `npm run migrate -- --name what_it_does`: a new migration from what prisma/schema.prisma says more than the migrations. */
import { prisma } from './prisma.ts';

process.exitCode = await prisma(['migrate', 'dev', ...process.argv.slice(2)]);
