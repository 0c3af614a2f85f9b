/** Apart from `npm test`: it needs this folder's own packages, and nothing else that runs. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Loading CDK is most of what they do.
    isolate: false,
    fileParallelism: false,
  },
});
