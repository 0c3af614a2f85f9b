/**
 * Two projects: `pure` needs nothing but the code (no Postgres, no bundle, no child process) and takes seconds; `whole` is everything
 * else, against real things.
 *
 *   npm test                            all
 *   npm test -- --project pure          the pure ones
 *   npm test -- test/…/order.test.ts    one file, with only what its project needs
 */
import { defineConfig } from 'vitest/config';

const pure = [
  'test/config/{gallery,load,locales,mecene,safety}.test.ts',
  'test/commands/definitions.test.ts',
  'test/infra/{supply,tables}.test.ts',
  'test/infra/watch/source.test.ts',
  'test/infra/deploy/cost.test.ts',
  'test/infra/local/{sources,pretty}.test.ts',
  'test/infra/local/discord/{components,commands}.test.ts',
  'test/infra/local/{log-files,pretty,sources}.test.ts',
  'test/pipelines/{detail,half,noise,onnx-reader,schedulers}.test.ts',
  'test/pipelines/{faces,lora,photomaker}/*.test.ts',
  'test/pipelines/sdxl/{conditioning,denoise,prompt,tokenizer,vae}.test.ts',
  'test/src/{errors,intervals,known-answers,lru-cache,places,text}.test.ts',
  'test/src/marks/payload.test.ts',
  'test/src/services/bot/first-answer.test.ts',
  'test/src/services/metrics.test.ts',
  'test/src/backlog/{bundles-order,forecast,order}.test.ts',
  'test/src/cards/contact-sheet/{canvas,lettering,plan}.test.ts',
  'test/src/generations/images.test.ts',
  'test/src/moderation/{verdicts,words}.test.ts',
  'test/src/parameters/definitions.test.ts',
  'test/src/services/worker/{pace,pool/plan,requests/*}.test.ts',
  'test/src/uploads/fetch.test.ts',
  'test/torture/plan.test.ts',
  'test/src/sweeps/{check,expand,schema,sheet-axes,values,yaml}.test.ts',
];

export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line.ts'],
    pool: 'forks',
    // Some files mostly wait, for a lease to run out or a Postgres to come back.
    maxWorkers: 4,
    // However busy the machine is: what hangs is ended, and nothing else.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        // Without isolation, as nothing of them outlives a file: a third of their time was the same modules again for each.
        // What looks at modules as they are at first (doors/metrics) is none of them.
        test: { name: 'pure', include: pure, setupFiles: ['test/support/pure.ts'], isolate: false },
      },
      {
        extends: true,
        test: {
          name: 'whole',
          include: ['test/**/*.test.ts'],
          exclude: pure,
          globalSetup: ['test/support/global-setup.ts'],
          setupFiles: ['test/support/environment.ts'],
        },
      },
    ],
  },
});
