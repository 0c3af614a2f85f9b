/** Imports one library and waits: `bare-import.ts <name>`. */
await import(process.argv[2] ?? '');
process.send?.({ ready: true });
process.on('SIGTERM', () => process.exit());
