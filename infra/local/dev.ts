/**
 * `npm run dev [-- --inspect=SERVICE]`: the demo for somebody who changes it. A service is started again when a file that it
 * runs changes; one that does not start says why, and is tried again at the next change. All logs come here.
 */
import { run, type Service } from '#src/services/run.ts';
import { prepareMachine } from './machine.ts';
import { pretty } from './pretty.ts';
import { print, printWhile } from './print.ts';
import { type ServiceProcess, serviceProcess } from './processes.ts';
import { filesOf, modulesOf, readImports, watchSources } from './sources.ts';

/** The bot alone: what it answers with is changed most. */
const PROCESSES = [['worker'], ['courier', 'mecene', 'web'], ['bot']];

await run('dev', () => startDev(process.argv.slice(2)));

async function startDev(args: readonly string[]): Promise<Service> {
  const inspected = inspectedBy(args);
  const coloured = process.stdout.isTTY && !process.env.NO_COLOR;
  const { env, webUrl, sandbox, close } = await prepareMachine();
  const processes = PROCESSES.map((names) =>
    serviceProcess(names, {
      env,
      execArgv: inspected !== undefined && names.includes(inspected) ? ['--inspect'] : [],
      onLine: (line) => print(pretty(line, names, coloured)),
      print,
    }),
  );
  let closing = false;
  /** what each ran when it was started last */
  const ran = new Map<ServiceProcess, ReadonlySet<string>>();
  const start = async (one: ServiceProcess) => {
    ran.set(one, filesOf(one.names, readImports()));
    await one.start().catch((error: unknown) => {
      // Its last lines, which are in the error too, were said when it wrote them.
      const [why] = error instanceof Error ? error.message.split('\n') : [];
      if (!closing) print(`${why} It is tried again when one of its files changes.`);
    });
  };

  const restart = async (changed: readonly string[]) => {
    const modules = changed.flatMap((file) => modulesOf(file));
    const imports = readImports();
    const isChanged = (one: ServiceProcess) => {
      const runs = filesOf(one.names, imports);
      return modules.some((file) => runs.has(file) || ran.get(one)?.has(file));
    };
    await Promise.all(
      processes.filter(isChanged).map(async (one) => {
        print(`${one.names.join(', ')}: starting again, for ${changed.join(', ')}`);
        await one.stop();
        await start(one);
      }),
    );
    if (changed.some((file) => file.startsWith('pipelines/reference/')))
      print('What the reference bundle is made of changed: it is made anew when `npm run dev` starts next.');
  };
  let turn = Promise.resolve();
  const stopWatching = watchSources((changed) => {
    turn = turn.then(() => restart(changed)).catch((error: unknown) => print(String(error)));
  });

  await printWhile('Starting the services', Promise.all(processes.map(start)));
  if (sandbox) print(`\n  Channel page  ${sandbox.pageUrl}`);
  print(`  Gallery       ${webUrl}/\n\nA changed service starts again by itself. Ctrl-C stops everything.\n`);
  return {
    async close() {
      closing = true;
      stopWatching();
      await Promise.all(processes.map((one) => one.stop()));
      await turn;
      await Promise.all(processes.map((one) => one.stop()));
      await close();
    },
  };
}

/** @throws {Error} with how it is used */
function inspectedBy(args: readonly string[]): string | undefined {
  const services = PROCESSES.flat();
  const [, service] = /^--inspect=(\w+)$/.exec(args[0] ?? '') ?? [];
  if (args.length > 1 || (args.length && !services.includes(service ?? '')))
    throw new Error(`Usage: npm run dev [-- --inspect=${services.join('|')}]`);
  return service;
}
