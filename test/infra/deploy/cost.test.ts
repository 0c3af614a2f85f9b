/** What a month costs: sums that anybody can do by hand, and what a bad file or option is told. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadYaml, parseYaml } from '#config/load.ts';
import {
  gpuHours,
  hourOfGpu,
  monthOf,
  type Plan,
  Prices,
  parseAsked,
  planOf,
  type Ran,
  tell,
  tellRan,
} from '#infra/deploy/cost.ts';

const file = new URL('../../../infra/deploy/prices.yaml', import.meta.url);
const prices = loadYaml(file, Prices);
const text = readFileSync(file, 'utf8');
/** 1,000 GPU hours are needed: 500 of drawing, at half of the time. */
const plan: Plan = {
  pictures: 300_000,
  seconds: 6,
  megabytes: 1.5,
  months: 12,
  galleryGb: 100,
  busy: 0.5,
  spot: null,
};

describe('gpuHours', () => {
  it('is the first worker’s month, and the rest by weights 3 : 2 : 1', () => {
    expect(Object.fromEntries(gpuHours(prices, plan))).toEqual({ g6: 730 + 135, g5: 90, g4dn: 45 });
  });

  it('is never less than what is always there', () => {
    expect(Object.fromEntries(gpuHours(prices, { ...plan, pictures: 0 }))).toEqual({
      g6: 730,
      g5: 0,
      g4dn: 0,
    });
  });

  it.each([
    [0, { g6: 1_000, g5: 0, g4dn: 0 }],
    [1, { g6: 730, g5: 180, g4dn: 90 }],
    [0.5, { g6: 865, g5: 90, g4dn: 45 }],
  ])('with a share of %d on spot', (spot, hours) => {
    expect(Object.fromEntries(gpuHours(prices, { ...plan, spot }))).toEqual(hours);
  });

  it('grows with seconds and falls with how busy GPUs are', () => {
    const all = (changes: Partial<Plan>) =>
      [...gpuHours(prices, { ...plan, ...changes }).values()].reduce((a, b) => a + b);
    expect(all({})).toBeCloseTo(1_000);
    expect(all({ seconds: 12 })).toBeCloseTo(2_000);
    expect(all({ busy: 0.25 })).toBeCloseTo(2_000);
  });
});

describe('monthOf', () => {
  const month = monthOf(prices, plan);
  const paid = (lines: readonly { what: string; dollars: number }[]) =>
    Object.fromEntries(lines.map(({ what, dollars }) => [what, Number(dollars.toFixed(2))]));

  it('is hours times price, tier by tier and service by service', () => {
    expect(paid(month.gpus)).toEqual({
      'worker g6.xlarge on demand': 1_392.65,
      'worker g5.xlarge spot': 43.2,
      'worker g4dn.xlarge spot': 17.55,
    });
    expect(paid(month.services)).toEqual({ bot: 2.19, courier: 2.19, mecene: 2.19, 'web × 2': 29.2 });
  });

  it('counts what is kept, what leaves, and instances that are not full', () => {
    // 450 GB are drawn a month, and each is kept for a year.
    expect(paid(month.shared)).toMatchObject({
      'pictures kept': 124.2,
      'to Discord': 60.75,
      'to the gallery’s visitors': 9,
      'room left on 3 light instances': Number((3 * 0.096 * 730 - 35.77).toFixed(2)),
    });
  });

  it('is the sum of all that it shows', () => {
    const all = [...month.gpus, ...month.services, ...month.shared].reduce(
      (sum, { dollars }) => sum + dollars,
      0,
    );
    expect(month.total).toBeCloseTo(all, 8);
  });

  it('says what the same would be on demand', () => {
    expect(paid(month.instead)).toEqual({
      'the same instances, all on demand': Number((865 * 1.61 + 90 * 1.008 + 45 * 0.526).toFixed(2)),
      'as many hours of g6.xlarge on demand': 1_610,
      'as many hours of g4dn.xlarge on demand': 526,
      'as many hours of g5.2xlarge on demand': 1_008,
      'as many hours of p3.2xlarge on demand': 3_060,
    });
  });
});

describe('planOf', () => {
  const ran: Ran[] = [
    { tier: 'fast', drawn: 600, copied: 300, undrawn: 50, seconds: 4_000, megabytes: 900 },
    { tier: 'relax', drawn: 100, copied: 0, undrawn: 0, seconds: 1_000, megabytes: 100 },
  ];

  it('is as was measured: of a picture that costs nothing as well as of one that was drawn', () => {
    const { plan: measured, source } = planOf(parseAsked(['--measured']), prices, ran);
    expect(measured).toMatchObject({ pictures: 1_000, seconds: 5, megabytes: 1 });
    expect(source).toBe('measured in the last 30 days');
  });

  it('is as was asked, before anything else', () => {
    const { plan: asked, source } = planOf(parseAsked(['--pictures', '7', '--seconds', '2']), prices, ran);
    expect(asked).toMatchObject({ pictures: 7, seconds: 2 });
    expect(source).toBe('--seconds');
  });

  it('says where else the seconds are from', () => {
    expect(planOf(parseAsked([]), prices, null).source).toMatch(/^config\/bundles.yaml, reference/);
    expect(() => planOf(parseAsked(['--measured']), prices, [])).toThrow('Nothing was drawn');
  });
});

describe('tell', () => {
  it('shows every line, and honestly what is saved and what is not', () => {
    const said = tell(prices, plan, 'a source').join('\n');
    for (const part of [
      '300,000 pictures, 6 s of a GPU each (a source)',
      '52.4 % of the same on demand for g5',
      '25.9 % for g4dn',
      '75.8 %',
      'more now',
    ])
      expect(said).toContain(part);
    expect(said).toMatch(/the same instances, all on demand +\$1,507\.04 +3\.6 % saved/);
  });
});

describe('tellRan', () => {
  const ran: Ran[] = [
    { tier: 'fast', drawn: 1_200, copied: 300, undrawn: 5, seconds: 7_200, megabytes: 3_000 },
    { tier: 'turbo', drawn: 0, copied: 0, undrawn: 1, seconds: 0, megabytes: 0 },
  ];

  it('pays GPU time at the mix of the tiers, and divides by none', () => {
    expect(hourOfGpu(prices)).toBeCloseTo((3 * 1.61 + 2 * 0.48 + 0.39) / 6, 10);
    const said = tellRan(prices, ran, new Date('2026-11-01'), new Date('2026-12-01')).join('\n');
    expect(said).toMatch(/fast +1,200 +300 +5 +2\.00 +6\.00 +2\.00 +\$2\.06 +\$0\.0017/);
    expect(said).toMatch(/turbo +0 +0 +1 +0\.00 +– +– +\$0\.00 +–/);
    expect(said).toMatch(/all +1,200 +300 +6 +2\.00/);
    expect(said).toContain('In these 720 h');
  });
});

describe('prices.yaml', () => {
  it.each([
    [
      'a price that is a word',
      text.replace('price: 1.61', 'price: dear'),
      /^prices\.yaml:\d+: gpus\.g6\.price: .*number/m,
    ],
    ['a price below nothing', text.replace('price: 0.48', 'price: -0.48'), /gpus\.g5\.price: .*>=0/],
    ['a tier that is missing', text.replace(/^ {2}g4dn: .*\n/m, ''), /gpus\.g4dn: /],
    [
      'a tier that nobody knows',
      text.replace('gpus:\n', 'gpus:\n  h100: { price: 1, onDemand: 2 }\n'),
      /prices\.yaml:\d+: gpus: .*h100/,
    ],
    ['more than always busy', text.replace('busy: 0.5', 'busy: 5'), /plan\.busy: .*<=1/],
    ['no YAML', `${text}\n  - [`, /^prices\.yaml:\d+: /],
  ])('%s', (_, bad, sentence) => {
    expect(() => parseYaml(bad, Prices, 'prices.yaml')).toThrow(sentence);
  });
});

describe('options', () => {
  it('are numbers, days and no others', () => {
    expect(parseAsked(['--pictures', '5', '--busy', '1', '--spot', '0'])).toMatchObject({
      pictures: 5,
      busy: 1,
      spot: 0,
      ran: false,
    });
  });

  it.each([
    [['--busy', '2'], /--busy: must be between 0 and 1/],
    [['--pictures', 'many'], /--pictures: .*number/],
    [['--pictures', '1.5'], /--pictures: must be a whole number/],
    [['--from', '2026-11-01'], /go with --ran/],
    [['--ran', '--from', 'November'], /--from: must be a day/],
    [['--dear'], /Usage: npm run cost/],
  ])('%s', (args, sentence) => {
    expect(() => parseAsked(args)).toThrow(sentence);
  });
});
