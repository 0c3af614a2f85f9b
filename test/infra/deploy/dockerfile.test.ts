/** What `npm run check -- image` reads: the subset of Docker's language that our Dockerfile is written in, and our own Dockerfile. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parseDockerfile } from '#infra/deploy/image/dockerfile.ts';
import { parseIgnore } from '#infra/deploy/image/ignore.ts';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const ours = () => parseDockerfile(read('infra/deploy/Dockerfile'), { NODE_IMAGE: 'node' });

it('reads ours: two images without root, with a health check, and each base named by whoever builds', () => {
  const stages = ours();
  for (const name of ['app', 'worker']) {
    const stage = stages.get(name);
    expect(stage?.user, name).toBe('1000:1000');
    expect(stage?.healthcheck.slice(0, 2)).toEqual(['node', 'infra/deploy/inside/healthy.ts']);
  }
  const outside = [...stages.values()].map(({ base }) => base).filter((base) => !stages.has(base));
  expect([...new Set(outside)].sort()).toEqual(['$' + '{CUDA_IMAGE}', 'node', 'scratch']);
});

it('copies no model, test or secret into an image, and builds packages apart from code', () => {
  const isIgnored = parseIgnore(read('.dockerignore'));
  const out = [
    '.env',
    'infra/deploy/.env',
    'config/.env',
    'test/a.ts',
    '.git/HEAD',
    '.atelier/files/a.png',
    'node_modules/a/b.js',
  ];
  expect(out.filter((path) => !isIgnored(path))).toEqual([]);
  expect(['src/main.ts', 'package.json', 'prisma/schema.prisma'].filter(isIgnored)).toEqual([]);

  const copied = ours()
    .get('packages')
    ?.steps.flatMap(({ step }) => (step.kind === 'copy' ? step.sources : []));
  expect(copied).toEqual(['package.json', 'package-lock.json', '.npmrc']);
});

it('says what each step stands on', () => {
  const text = `ARG BASE
FROM \${BASE} AS one
ENV A=1 B=two
WORKDIR /app
# a comment
RUN --mount=type=cache,target=/root/.npm npm ci && \\
    # another
    echo done
FROM one AS two
COPY --from=one /app/a b/`;
  const stages = parseDockerfile(text, { BASE: 'debian' });
  expect(stages.get('one')).toMatchObject({
    base: 'debian',
    steps: [
      {
        line: 6,
        workdir: '/app',
        env: { A: '1', B: 'two' },
        step: { kind: 'run', caches: ['/root/.npm'], script: 'npm ci && echo done' },
      },
    ],
  });
  expect(stages.get('two')).toMatchObject({
    base: 'one',
    workdir: '/app',
    steps: [{ step: { kind: 'copy', from: 'one', sources: ['/app/a'], to: 'b/' } }],
  });
});

it.each([
  ['FROM a AS b\nADD x y', 'Dockerfile:2: ADD is not known here'],
  ['FROM a AS b\nCOPY --chown=1:1 x y', 'this kind of COPY is not known here'],
  ['FROM a AS b\nCOPY *.ts y/', 'this kind of COPY is not known here'],
  ['FROM a AS b\nRUN --network=none x', 'this kind of RUN is not known here'],
  ['FROM a AS b\nUSER atelier', 'USER must be two numbers'],
  ['FROM a AS b\nENV A="x y"', 'ENV A="x is not NAME=value'],
  ['FROM a', 'FROM needs a name'],
  ['FROM $' + '{X} AS a', 'X is no ARG above'],
  ['ARG X=debian:latest', 'without a default'],
  ['RUN ls', 'the first instruction after ARGs is FROM'],
  ['FROM a AS b\nRUN ls \\', 'ends in the middle'],
])('refuses what it would do wrong: %j', (text, sentence) => {
  expect(() => parseDockerfile(text, {})).toThrow(sentence);
});
