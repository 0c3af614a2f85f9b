/** `npm run check-migrations [-- schema]`: whether the migrations make what prisma/schema.prisma says. Ends with 0 or 2. */
import { prisma } from './prisma.ts';

const [schema = 'prisma/schema.prisma'] = process.argv.slice(2);
const difference = ['migrate', 'diff', '--from-migrations', 'prisma/migrations', '--to-schema', schema];
const code = await prisma([...difference, '--exit-code']);
if (code === 2)
  process.stderr.write(
    'The migrations differ from prisma/schema.prisma: run `npm run migrate -- --name …`.\n',
  );
process.exitCode = code;
