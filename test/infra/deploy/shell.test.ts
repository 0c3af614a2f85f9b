/** The door to other programs, with a shell for one. */
import { expect, it } from 'vitest';
import { hold, run } from '#infra/deploy/shell.ts';

const sh = (script: string) => ({ program: 'sh', args: ['-c', script] });

it('gives what was written to the output, and takes an input', async () => {
  expect(await run({ ...sh('cat; echo aside >&2'), input: 'in' }, 10_000)).toBe('in');
});

it('ends what hangs, even if that does not want to, and says for how long it was let', async () => {
  await expect(run(sh('echo begun; trap "" TERM; while :; do sleep 1; done'), 200)).rejects.toThrow(
    /did not end within 0 s\.\nbegun/,
  );
});

it('says what was written last where it fails, and no option of the call', async () => {
  const failure = run({ program: 'sh', args: ['-c', 'echo why >&2; exit 3', 'secret=1'] }, 10_000);
  await expect(failure).rejects.toThrow('sh ended with 3.\nwhy');
});

it('holds on to one until it is let go', async () => {
  const held = await hold(sh('echo mine; cat; echo let go'), 10_000);
  expect(held.line).toBe('mine');
  await held.release();
  await expect(hold(sh('echo taken >&2; exit 1'), 10_000)).rejects.toThrow('taken');
});
