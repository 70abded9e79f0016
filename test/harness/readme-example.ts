// Owns finding the TypeScript examples of a README. One that begins with a comment that is a file name, `// silence.ts`,
// is that file, and may import its neighbours.

import { readFileSync } from 'node:fs';

export interface ReadmeExample {
  /** Null when it has none. */
  readonly file: string | null;
  readonly source: string;
}

export function readmeExamples(path: string): ReadmeExample[] {
  return [...readFileSync(path, 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].map(([, source]) => ({
    file: /^\/\/ ([a-z0-9.-]+\.ts)\n/.exec(source)?.[1] ?? null,
    source,
  }));
}
