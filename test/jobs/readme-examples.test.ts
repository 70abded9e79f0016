// Every TypeScript example of a README is a module that works: a job that compiles, a configuration that resolves, or a
// test that passes.

import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readmeExamples } from '#test/harness/readme-example.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
/** Inside the repository, so that examples can import the package by its name. */
const FOLDER = join(ROOT, '.cache/readme-examples');

const examples = globSync(['*.md', '{runtime,operators,checkpoint,jobs,test}/**/README.md'], { cwd: ROOT }).flatMap(
  (path) =>
    readmeExamples(join(ROOT, path)).map(({ file, source }, at) => {
      const folder = join(FOLDER, dirname(path));
      return { name: `${path} ${file ?? at + 1}`, path: join(folder, file ?? `example-${at + 1}.ts`), source };
    }),
);
const tests = examples.filter(({ path }) => path.endsWith('.test.ts'));
const modules = examples.filter((example) => !tests.includes(example));

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

beforeAll(() => {
  for (const { path, source } of examples) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, source);
  }
});

afterAll(() => rmSync(FOLDER, { recursive: true }));

test('there are examples', () => {
  expect(modules.length).toBeGreaterThanOrEqual(6);
  expect(tests.length).toBeGreaterThanOrEqual(1);
});

test.each(modules)('$name works', ({ path }) => {
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', CHECK, path], { cwd: ROOT, encoding: 'utf8' });
  expect(run.stderr).toBe('');
  expect(run.stdout).toBe('[]');
});

test.each(tests)('$name passes', ({ path }) => {
  const run = spawnSync(process.execPath, ['--test', path], { cwd: dirname(path), encoding: 'utf8' });
  expect(run.status, run.stdout + run.stderr).toBe(0);
  expect(run.stdout).toMatch(/pass [1-9]/);
});
