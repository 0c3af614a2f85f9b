/** `npm run migrate -- --name what_it_does`: makes a new migration of what prisma/schema.prisma has and the migrations lack. */
import { prisma } from './prisma.ts';

process.exitCode = await prisma(['migrate', 'dev', ...process.argv.slice(2)]);
