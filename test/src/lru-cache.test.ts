import { describe, expect, it } from 'vitest';
import { LruCache } from '#src/lru-cache.ts';

describe('a cache of what was used last', () => {
  it('forgets what was used longest ago, until the rest fits', () => {
    const cache = new LruCache<string>(10);
    cache.set('a', 'A', 4);
    cache.set('b', 'B', 4);
    cache.get('a');
    cache.set('c', 'C', 4);
    expect(cache.get('b')).toBeUndefined();
    expect(cache.get('a')).toBe('A');

    cache.set('large', 'L', 10);
    expect(cache.get('large')).toBe('L');
    expect(cache.get('a')).toBeUndefined();
    expect(cache.get('c')).toBeUndefined();
  });

  it('counts a value that is set again once, by its new size', () => {
    const cache = new LruCache<string>(10);
    cache.set('a', 'A', 9);
    cache.set('a', 'A2', 2);
    cache.set('b', 'B', 8);
    expect(cache.get('a')).toBe('A2');
    expect(cache.get('b')).toBe('B');
    cache.set('c', 'C', 1);
    expect(cache.get('a')).toBeUndefined();
  });

  it('does not give up everything for what would never fit', () => {
    const cache = new LruCache<string>(10);
    cache.set('a', 'A', 4);
    cache.set('large', 'L', 11);
    expect(cache.get('large')).toBeUndefined();
    expect(cache.get('a')).toBe('A');
    // … and keeps no older value under its name.
    cache.set('a', 'A2', 11);
    expect(cache.get('a')).toBeUndefined();
  });

  it('keeps null as a value', () => {
    const cache = new LruCache<string | null>(10);
    cache.set('none', null, 1);
    expect(cache.get('none')).toBeNull();
  });
});
