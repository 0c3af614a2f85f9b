/**
 * Three projects: `pure` needs nothing but the code (no Postgres, no bundle, no child process) and takes seconds; `whole` is against real
 * things; `soak` is, too, and takes long: it kills and pauses what it stands on, waits for leases to run out, builds bundles, restores
 * copies, and tries every way that two processes can overtake one another. `.ci/run` runs all three.
 *
 *   npm test                            pure and whole
 *   npm test -- --project pure          the pure ones
 *   npm run soak                        the long ones
 *   npm test -- test/…/order.test.ts    one file, of whichever project
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
  'test/src/uploads/{fetch,texts,written}.test.ts',
  'test/torture/plan.test.ts',
  'test/src/sweeps/{check,expand,schema,sheet-axes,values,yaml}.test.ts',
];

const soak = [
  'test/infra/{backup/backup,local/dev,local/postgres,local/processes}.test.ts',
  'test/infra/bundle/{fetch,lora}.test.ts',
  'test/infra/deploy/{deploy,restore}.test.ts',
  'test/src/bundles/ensure.test.ts',
  'test/src/doors/{postgres,queue-away}.test.ts',
  'test/src/generations/bytes.test.ts',
  'test/src/services/{start-away,watch}.test.ts',
  'test/src/services/bot/{acknowledge,faults,machines,supervisor}.test.ts',
  'test/src/services/courier/faults.test.ts',
  'test/src/services/worker/{bundles,lease,spool}.test.ts',
  'test/src/services/worker/pool/pool.test.ts',
];
/** What stands on real things. */
const real = {
  globalSetup: ['test/support/global-setup.ts'],
  setupFiles: ['test/support/environment.ts'],
};

export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line.ts'],
    pool: 'forks',
    // Some files mostly wait, for a lease to run out or a Postgres to come back. With four, two slow cores kept Postgres from answering in time.
    maxWorkers: 3,
    // However busy the machine is: what hangs is ended, and nothing else.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Vitest's own is one second, in which a busy machine does not even load what is asked.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      {
        extends: true,
        // Without isolation, as nothing of them outlives a file: a third of their time was the same modules again for each.
        // What looks at modules as they are at first (doors/metrics) is none of them.
        test: { name: 'pure', include: pure, setupFiles: ['test/support/pure.ts'], isolate: false },
      },
      {
        extends: true,
        test: { name: 'whole', include: ['test/**/*.test.ts'], exclude: [...pure, ...soak], ...real },
      },
      { extends: true, test: { name: 'soak', include: soak, ...real } },
    ],
  },
});
