import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { play } from './golden-script.ts';

const DIRECTORY = new URL('../../golden/operators/', import.meta.url);
const SCRIPTS = readdirSync(DIRECTORY).filter((name) => name.endsWith('.txt'));

describe('golden scripts', () => {
  test.each(SCRIPTS)('%s puts out what it says', (name) => {
    const script = readFileSync(new URL(name, DIRECTORY), 'utf8');
    expect(play(script)).toBe(script);
  });

  test('are there, and each says something', () => {
    expect(SCRIPTS.length).toBeGreaterThanOrEqual(5);
    for (const name of SCRIPTS) expect(readFileSync(new URL(name, DIRECTORY), 'utf8')).toMatch(/^> /m);
  });
});
