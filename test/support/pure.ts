/** Before each test of the `pure` project: no database and no Discord to be found, so that a test that wants one fails and is moved. */
process.env.LOG_LEVEL ??= 'silent';
process.env.ONNX_THREADS = '1';
delete process.env.DATABASE_URL;
delete process.env.REDIS_URL;
delete process.env.DISCORD_TOKEN;
