import { describe, expect, it } from 'vitest';
import { block, isKeepable, plain, quote, relative, unmarked } from '#src/text.ts';

describe('a person’s words', () => {
  it('in a sentence are code: short, on one line, and end nowhere before they should', () => {
    expect(quote('a\n`b`\t c')).toBe('`a ˋbˋ c`');
    expect(quote('')).toBe('` `');
    expect(quote('x'.repeat(80))).toBe(`\`${'x'.repeat(59)}…\``);
    expect(unmarked('a `b`')).toBe('a ˋbˋ');
  });

  it('in a block keep their lines, and can’t close it', () => {
    expect(block('a\n``` @everyone')).toBe('```\na\nˋˋˋ @everyone\n```');
  });

  it('in a paragraph are no markdown, no mention, no link, no list', () => {
    expect(plain('**a** <@1> [b](https://c) @everyone', 100)).toBe(
      '\\*\\*a\\*\\* \\<@\u200b1\\> \\[b\\]\\(https:\u200b//c\\) @\u200beveryone',
    );
    expect(plain('1. one', 100)).toBe('1\\. one');
    expect(plain('# a\n> b', 100)).toBe('\\# a \\> b');
    expect(plain('abc\u202edef', 100)).toBe('abcdef');
    expect(plain('abcdef', 4)).toBe('abc…');
  });

  it('can be kept but for NUL and half of an emoji', () => {
    expect(isKeepable('💐')).toBe(true);
    expect(isKeepable('💐'.slice(0, 1))).toBe(false);
    expect(isKeepable('a\0b')).toBe(false);
  });
});

it('tells a moment to the second, not before it', () => {
  expect(relative(new Date(1_001))).toBe('<t:2:R>');
});
