import { LineCounter, parseDocument } from 'yaml';

const keys = (n) => Array.from({ length: n }, (_, i) => `k${i}: 1`).join('\n');
const cases = {
  keys: keys(5900),
  flowkeys: '{' + Array.from({ length: 20000 }, (_, i) => `${i.toString(36)}`).join(',') + '}',
  deepflow: '['.repeat(65000),
  deepflow2: '['.repeat(32000) + ']'.repeat(32000),
  deepmap: '{a: '.repeat(10000),
  deepseq: '- '.repeat(30000),
  deepblock: Array.from({ length: 350 }, (_, i) => ' '.repeat(i) + 'a:').join('\n'),
  quest: '? '.repeat(30000),
  anchors: '&a '.repeat(20000),
  tags: '!a '.repeat(20000),
  colons: ': '.repeat(30000),
  strings: '"' + '\\x'.repeat(30000),
  folded: '>\n' + ' a\n'.repeat(20000),
  comments: '#\n'.repeat(30000),
  errs: 'a: b: c\n'.repeat(8000),
  tabs: '\t'.repeat(65000),
  docs: '---\n'.repeat(16000),
  aliases: 'a: &a [1]\nb: [' + '*a,'.repeat(20000) + ']',
  pct: '%a\n'.repeat(20000),
  commas: '[' + ','.repeat(60000) + ']',
};
for (const [n, t] of Object.entries(cases)) {
  const lc = new LineCounter();
  const t0 = performance.now();
  let r;
  try {
    const d = parseDocument(t, { lineCounter: lc, uniqueKeys: false, schema: 'core', prettyErrors: true });
    r = d.errors.length + ' errs ' + (d.errors[0]?.message ?? '').slice(0, 60).replace(/\n/g, ' ');
    if (!d.errors.length) d.toJS({ maxAliasCount: 0 });
  } catch (e) {
    r = e.constructor.name + e.message.slice(0, 60);
  }
  console.log(n, t.length, (performance.now() - t0).toFixed(0) + 'ms', r);
}
