// A bundle is the job it was made of, wherever it is unpacked; what is no bundle is refused before anything is written.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { type Bundle, bundleHash, packBundle, readBundle, unpackBundle } from '#jobs/bundle.ts';
import { dropBundles, findBundle, keepBundle, keptBundles } from '#jobs/bundle-store.ts';
import { compileJob } from '#jobs/compile.ts';
import { loadDefinition } from '#jobs/load-job.ts';
import rollups from '#jobs/rollups.ts';
import { jobVersion } from '#jobs/version.ts';
import { nodeDisk } from '#runtime/std/disk.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const JOB = `import { defineJob, samples, series, stats, topic, tumbling } from 'millrace';
import { nameOf } from '#names';
import { limit } from '../lib/limit.ts';
export default defineJob({
  name: 'hot',
  source: samples({ topic: 'metrics.raw' }),
  build: (raw) => {
    raw.filter('hot', ({ value }) => value > limit).keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic(nameOf(limit)));
  },
});`;

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'millrace-bundle-'));
});

afterEach(() => rmSync(home, { recursive: true }));

function write(name: string, source: string): string {
  const path = join(home, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, source);
  return path;
}

function writeProject(at: string, limit = '80'): string {
  const description = { type: 'module', imports: { '#names': './lib/names.ts' } };
  write(`${at}/package.json`, JSON.stringify(description));
  write(`${at}/lib/names.ts`, 'export const nameOf = (limit: number) => "hot.above." + limit;');
  write(`${at}/lib/limit.ts`, `export const limit = ${limit};`);
  write(`${at}/lib/other.ts`, 'export const unused = 1;');
  return write(`${at}/jobs/hot.ts`, JOB);
}

function versionOf(modulePath: string): string {
  const { plan } = compileJob(rollups());
  return jobVersion({ plan, modulePath, options: null, engineVersion: '0.1.0', nodeMajor: 24 });
}

test('a job runs from where its bundle was unpacked, with what it imports, in the same version', async () => {
  const module = writeProject('project');
  const bundle = packBundle(module);
  expect(Object.keys(bundle.files).sort()).toEqual(['jobs/hot.ts', 'lib/limit.ts', 'lib/names.ts']);
  const sent = readBundle(JSON.parse(JSON.stringify(bundle)));
  expect(bundleHash(sent)).toBe(bundleHash(bundle));
  mkdirSync(join(home, 'elsewhere/node_modules'), { recursive: true });
  symlinkSync(ROOT, join(home, 'elsewhere/node_modules/millrace'));
  const unpacked = unpackBundle(sent, join(home, 'elsewhere/.millrace'));
  rmSync(join(home, 'project'), { recursive: true });
  const { plan } = compileJob(await loadDefinition(unpacked, null));
  expect(JSON.stringify(plan)).toContain('hot.above.80');
  const before = versionOf(writeProject('project'));
  expect(versionOf(unpacked)).toBe(before);
});

test('the name of a bundle follows from what is in it, and from nothing else', () => {
  const name = bundleHash(packBundle(writeProject('a')));
  expect(bundleHash(packBundle(writeProject('b/c')))).toBe(name);
  expect(bundleHash(packBundle(writeProject('d', '90')))).not.toBe(name);
});

test('what is unpacked already is used again, and mended when somebody changed it', () => {
  const bundle = packBundle(writeProject('project'));
  const module = unpackBundle(bundle, join(home, 'kept'));
  expect(unpackBundle(bundle, join(home, 'kept'))).toBe(module);
  writeFileSync(module, 'changed');
  expect(unpackBundle(bundle, join(home, 'kept'))).toBe(module);
  expect(readFileSync(module, 'utf8')).toBe(JOB);
  expect(readdirSync(join(home, 'kept'))).toHaveLength(1);
});

test('a module that comes with Millrace is used as it is there, if it is the same', () => {
  const module = join(ROOT, 'jobs/rollups.ts');
  const bundle = packBundle(module);
  expect(Object.keys(bundle.files)).toEqual(['jobs/rollups.ts']);
  expect(unpackBundle(bundle, join(home, 'kept'))).toBe(module);
  const other: Bundle = { ...bundle, files: { 'jobs/rollups.ts': 'export default 1;' } };
  expect(() => unpackBundle(other, join(home, 'kept'))).toThrow(expect.objectContaining({ code: 'version-mismatch' }));
});

test('an import from outside of the package is refused by name', () => {
  const module = writeProject('project');
  write('outside.ts', 'export const limit = 1;');
  write('project/lib/limit.ts', "export { limit } from '../../outside.ts';");
  expect(() => packBundle(module)).toThrow(/imports .*outside\.ts, which lies outside of its package/);
});

const BUNDLE: Bundle = {
  format: 1,
  entry: 'a.ts',
  files: { 'a.ts': '1' },
  package: { type: 'module', imports: null },
  shipped: false,
};

test.each<[string, unknown]>([
  ['nothing', null],
  ['another format', { ...BUNDLE, format: 2 }],
  ['files as a list', { ...BUNDLE, files: ['a.ts'] }],
  ['a file that is no text', { ...BUNDLE, files: { 'a.ts': 1 } }],
  ['a way out', { ...BUNDLE, entry: '../a.ts', files: { '../a.ts': '' } }],
  ['a way out further in', { ...BUNDLE, entry: 'b/../../a.ts', files: { 'b/../../a.ts': '' } }],
  ['an absolute path', { ...BUNDLE, entry: '/a.ts', files: { '/a.ts': '' } }],
  ['a way out of Windows', { ...BUNDLE, entry: '..\\a.ts', files: { '..\\a.ts': '' } }],
  ['an entry that is not there', { ...BUNDLE, entry: 'b.ts' }],
  ['an entry that objects have', { ...BUNDLE, entry: 'toString' }],
  ['no type of package', { ...BUNDLE, package: {} }],
  ['too much text', { ...BUNDLE, files: { 'a.ts': ' '.repeat(4 * 1024 * 1024 + 1) } }],
])('%s is no bundle', (_, value) => {
  expect(() => readBundle(value)).toThrow(expect.objectContaining({ code: 'job-invalid' }));
});

test('bundles lie in the checkpoint store under their names, whole or refused', async () => {
  const store = new DirectoryStore({ root: join(home, 'store'), disk: nodeDisk });
  const bundle = packBundle(writeProject('project'));
  const name = await keepBundle(store, 'ns', 'hot', bundle);
  expect(await keepBundle(store, 'ns', 'hot', bundle)).toBe(name);
  expect(await findBundle(store, 'ns', 'hot', name)).toEqual(bundle);
  expect(await keptBundles(store, 'ns', 'hot')).toEqual([name]);
  expect(await keptBundles(store, 'ns', 'other')).toEqual([]);
  const file = join(home, 'store/ns/hot/bundles/g0/bundles/0', `${name}.bundle.gz`);
  const bytes = readFileSync(file);
  bytes[bytes.length - 12] ^= 1;
  writeFileSync(file, bytes);
  await expect(findBundle(store, 'ns', 'hot', name)).rejects.toMatchObject({ code: 'checkpoint-corrupt' });
  await dropBundles(store, 'ns', 'hot', [name]);
  expect(await keptBundles(store, 'ns', 'hot')).toEqual([]);
  await expect(findBundle(store, 'ns', 'hot', name)).rejects.toMatchObject({ code: 'checkpoint-corrupt' });
});
