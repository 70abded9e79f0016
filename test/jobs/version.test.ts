// A version changes with what decides output, and with nothing else.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import rollups from '#jobs/rollups.ts';
import { jobVersion } from '#jobs/version.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-version-'));
});

afterEach(() => rmSync(directory, { recursive: true }));

function write(name: string, source: string): string {
  const path = join(directory, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, source);
  return path;
}

function versionOf(modulePath: string, more: Partial<Parameters<typeof jobVersion>[0]> = {}): string {
  const { plan } = compileJob(rollups());
  return jobVersion({ plan, modulePath, options: {}, engineVersion: '0.1.0', nodeMajor: 24, ...more });
}

function writeJob(at: string): string {
  write(
    `${at}/functions/scale.ts`,
    "import { factor } from '../factor.ts';\nexport const scale = (x: number) => x * factor;",
  );
  write(`${at}/factor.ts`, 'export const factor = 2;');
  return write(`${at}/job.ts`, "import { scale } from './functions/scale.ts';\nexport default scale;");
}

test('the same files elsewhere have the same version', () => {
  expect(versionOf(writeJob('here'))).toBe(versionOf(writeJob('there/deeper')));
});

test('a changed import of an import changes it', () => {
  const job = writeJob('here');
  const before = versionOf(job);
  write('here/factor.ts', 'export const factor = 3;');
  expect(versionOf(job)).not.toBe(before);
  write('here/factor.ts', 'export const factor = 2;');
  expect(versionOf(job)).toBe(before);
});

test('plan, options, engine and Node major change it', () => {
  const job = writeJob('here');
  const other = compileJob(rollups({ outOfOrderness: '6s' })).plan;
  const versions = [
    versionOf(job),
    versionOf(job, { plan: other }),
    versionOf(job, { options: { a: 1 } }),
    versionOf(job, { engineVersion: '0.2.0' }),
    versionOf(job, { nodeMajor: 26 }),
  ];
  expect(new Set(versions).size).toBe(versions.length);
});

test('the order of options and the intervals do not change it', () => {
  const job = writeJob('here');
  expect(versionOf(job, { options: { a: 1, b: [2] } })).toBe(versionOf(job, { options: { b: [2], a: 1 } }));
  const { plan } = compileJob(rollups(), { commitIntervalMs: 1_000, parallelism: 7 });
  expect(versionOf(job, { plan })).toBe(versionOf(job));
});

test('modules that import each other end', () => {
  const job = write('a.ts', "import './b.ts';");
  write('b.ts', "import './a.ts';\n// import './gone.ts'");
  expect(versionOf(job)).toMatch(/^[0-9a-f]{16}$/);
});

test('imports inside the package are left to the version of the engine', () => {
  const job = write('job.ts', "import './package/engine.ts';");
  const packageDirectory = join(directory, 'package');
  write('package/engine.ts', '1');
  const before = versionOf(job, { packageDirectory });
  write('package/engine.ts', '2');
  expect(versionOf(job, { packageDirectory })).toBe(before);
  expect(versionOf(job)).not.toBe(before);
});

test('a module that is not there is a fault of the job', () => {
  expect(() => versionOf(join(directory, 'none.ts'))).toThrow('cannot be read');
});
