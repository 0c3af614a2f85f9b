export default {
  root: '/work/main',
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['/tmp/mine/setup.ts'],
    setupFiles: ['test/support/environment.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 30000,
    hookTimeout: 60000,
  },
};
