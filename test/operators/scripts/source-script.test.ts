import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { play } from './source-script.ts';

const DIRECTORY = new URL('../../golden/sources/', import.meta.url);
const SCRIPTS = readdirSync(DIRECTORY).filter((name) => name.endsWith('.txt'));
const read = (name: string) => readFileSync(new URL(name, DIRECTORY), 'utf8');

describe('golden scripts of sources', () => {
  test.each(SCRIPTS)('%s puts out what it says', (name) => {
    expect(play(read(name))).toBe(read(name));
  });

  test.each(SCRIPTS)('%s puts out the same with a restart before every line', (name) => {
    expect(play(read(name), true)).toBe(read(name));
  });

  test('are there, and each says something', () => {
    expect(SCRIPTS.length).toBeGreaterThanOrEqual(4);
    for (const name of SCRIPTS) expect(read(name)).toMatch(/^> /m);
  });
});
