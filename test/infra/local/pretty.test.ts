import { stripVTControlCharacters } from 'node:util';
import { expect, it } from 'vitest';
import { pretty } from '#infra/local/pretty.ts';

const AT = new Date(2026, 10, 24, 12, 3, 4).getTime();
const line = (fields: object) => JSON.stringify({ level: 30, time: AT, pid: 7, ...fields });

it.each([
  [
    'what was logged',
    line({ service: 'worker', steps: 20, timings: { base: 3 }, msg: 'drawn' }),
    '12:03:04 worker  info   drawn { steps: 20, timings: { base: 3 } }',
  ],
  ['no facts', line({ service: 'courier', msg: 'courier ready' }), '12:03:04 courier info   courier ready'],
  ['no message', line({ service: 'bot', shard: 1 }), '12:03:04 bot     info    { shard: 1 }'],
  ['no service', line({ level: 40, msg: 'pool' }), '12:03:04 mecene web warn   pool'],
  [
    'an error, with its stack below',
    line({
      level: 50,
      service: 'web',
      errorId: 'a1',
      msg: 'unexpected error',
      err: { type: 'TypeError', message: 'no', stack: 'TypeError: no\n    at web.ts:1:2' },
    }),
    "12:03:04 web     error  unexpected error { errorId: 'a1' }\n    TypeError: no\n        at web.ts:1:2",
  ],
])('shows %s', (_, logged, shown) => {
  expect(pretty(logged, ['mecene', 'web'], false)).toBe(shown);
  const coloured = pretty(logged, ['mecene', 'web'], true);
  expect(coloured).not.toBe(shown);
  expect(stripVTControlCharacters(coloured)).toBe(shown);
});

it.each(['Debugger listening on ws://127.0.0.1:9229/', '{"level":"high"}', '', '12'])(
  'leaves %j, which the log did not write, as it is',
  (text) => {
    expect(pretty(text, ['worker'], false)).toMatch(/^\d\d:\d\d:\d\d worker {9}/);
    expect(pretty(text, ['worker'], false).slice(24)).toBe(text);
  },
);

it('gives each service a colour of its own', () => {
  const services = ['bot', 'worker', 'courier', 'mecene', 'web'];
  const painted = services.map((service) => {
    const [, colour] = pretty(line({ service, msg: '' }), [], true).split(' ');
    return colour?.slice(0, colour.indexOf(service));
  });
  expect(new Set(painted).size).toBe(services.length);
});
