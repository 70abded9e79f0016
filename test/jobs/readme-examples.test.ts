// Every TypeScript example of a README is a module that works: a job that compiles, or a configuration that resolves.

import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = new URL('../..', import.meta.url).pathname;
/** Inside the repository, so that examples can import the package by its name. */
const FOLDER = join(ROOT, '.cache/readme-examples');

const examples = globSync(['*.md', '{runtime,operators,checkpoint,jobs,test}/**/README.md'], { cwd: ROOT }).flatMap(
  (path) =>
    [...readFileSync(join(ROOT, path), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].map(
      (match, at) => [`${path} ${at + 1}`, match[1]] as const,
    ),
);

const CHECK = `
  const { default: made } = await import(process.argv[1]);
  const { compileJob } = await import('#jobs/compile.ts');
  const { resolveConfig } = await import('#jobs/configuration.ts');
  const faults = [];
  const options = { baseDirectory: '/b', workingDirectory: '/w', environment: {}, flags: {} };
  if (made.kind === 'millrace-job') compileJob(made);
  else if (made.kind === 'millrace-config') resolveConfig(made.config, options, faults);
  else faults.push('exports neither a job nor a configuration');
  process.stdout.write(JSON.stringify(faults));
`;

beforeAll(() => mkdirSync(FOLDER, { recursive: true }));

afterAll(() => rmSync(FOLDER, { recursive: true }));

test('there are examples', () => {
  expect(examples.length).toBeGreaterThanOrEqual(3);
});

test.each(examples)('%s works', (name, source) => {
  const path = join(FOLDER, `${name.replace(/[^a-z0-9]+/gi, '-').toLowerCase()}.ts`);
  writeFileSync(path, source);
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', CHECK, path], { cwd: ROOT, encoding: 'utf8' });
  expect(run.stderr).toBe('');
  expect(run.stdout).toBe('[]');
});
