/** A stage's file: what a bad one is told, before anything is made. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { botsOf, readStage, type Settings } from '../settings.ts';
import { example } from './synth.ts';

const folder = mkdtempSync(join(tmpdir(), 'atelier-stages-'));
afterAll(() => rmSync(folder, { recursive: true }));
const text = readFileSync(new URL('../stages/example.yaml', import.meta.url), 'utf8');

function read(change: (text: string) => string): Settings {
  writeFileSync(join(folder, 'planted.yaml'), change(text));
  return readStage('planted', pathToFileURL(`${folder}/`));
}

describe('readStage', () => {
  it('knows the example', () => {
    expect(read((same) => same)).toMatchObject({
      domain: 'atelier.example.org',
      workers: { min: 1, max: 5 },
      web: { min: 2, max: 20 },
    });
  });

  it.each([
    [
      'a stage that is not there',
      () => readStage('production'),
      /There is no stage production: copy stages\/example.yaml/,
    ],
    ['a path', () => readStage('../example'), /named by 1 to 20 of a-z/],
    ['an unknown key', () => read((all) => `${all}regoin: eu-central-1\n`), /planted\.yaml:\d+: .*regoin/],
    ['a missing domain', () => read((all) => all.replace(/^domain:.*$/m, '')), /planted\.yaml:\d+: domain/],
    [
      'a certificate elsewhere',
      () => read((all) => all.replace('acm:us-east-1', 'acm:eu-central-1')),
      /certificate: must be the ARN of a certificate in us-east-1/,
    ],
    [
      'an id without quotes',
      () => read((all) => all.replace("'100000000000000001'", '100000000000000001')),
      /planted\.yaml:\d+: discord\.application/,
    ],
    [
      'more least than most',
      () => read((all) => `${all}web: { min: 9, max: 3 }\n`),
      /web: min must not be above max/,
    ],
    [
      'a time that is none',
      () => read((all) => `${all}night: { from: '25:00', to: '06:00', workers: 1 }\n`),
      /night\.from: must be a time in quotes/,
    ],
    [
      'more shards than ten bots carry',
      () => read((all) => all.replace('shards: 1', 'shards: 161')),
      /discord\.shards/,
    ],
  ])('%s', (_, act, sentence) => {
    expect(act).toThrow(sentence);
  });
});

describe('bots', () => {
  it.each([
    [1, ['0-0']],
    [16, ['0-15']],
    [17, ['0-8', '9-16']],
    [160, Array.from({ length: 10 }, (_, bot) => `${bot * 16}-${bot * 16 + 15}`)],
  ])('%d shards', (shards, ranges) => {
    expect(botsOf({ discord: { ...example.discord, shards } })).toEqual(ranges);
  });
});
