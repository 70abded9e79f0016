// The house rules, executed over the whole source tree. Each rule is tested with planted offences in tidy/.

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { ERROR_CODES } from '#runtime/std/errors.ts';
import {
  checkDoors,
  checkErrorTable,
  checkLockFile,
  checkName,
  checkSourceFile,
  checkText,
  checkTopLevel,
  type Offence,
} from '#test/tidy/house-rules.ts';

const ROOT = new URL('..', import.meta.url).pathname;
const TEXT_FILE = /\.(ts|json|md|txt|yml|yaml)$|(^|\/)\.[a-z]+$|^\.ci\//;

function listFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => !/(^|\/)(node_modules|target)\//.test(path));
}

// In a second working tree `.git` is a file, which says where the first one is.
const topNames = readdirSync(ROOT, { withFileTypes: true }).filter(({ name }) => name !== '.git');
const folders = ['runtime', 'operators', 'checkpoint', 'jobs', 'test', '.ci'];
const paths = [
  ...topNames.filter((entry) => entry.isFile()).map((entry) => entry.name),
  ...folders.flatMap((folder) => listFiles(folder)),
];
const files = paths.map((path) => ({
  path,
  source: TEXT_FILE.test(path) ? readFileSync(join(ROOT, path), 'utf8') : '',
}));
const sourceFiles = files.filter(({ path }) => path.endsWith('.ts'));

/** One line per offence, as editors read them. */
function lines(offences: readonly Offence[]): string[] {
  return offences.map(({ line, message, path, rule }) => `${path}:${line} [${rule}] ${message}`);
}

test('the walk sees the tree', () => {
  expect(sourceFiles.length).toBeGreaterThan(40);
  expect(paths).toContain('runtime/std/errors.ts');
  expect(paths).toContain('.ci/run');
});

test('every source file keeps the house rules', () => {
  expect(lines(sourceFiles.flatMap(({ path, source }) => checkSourceFile(path, source)))).toEqual([]);
});

test('every npm package is imported by one file of the product', () => {
  expect(lines(checkDoors(sourceFiles))).toEqual([]);
});

test('other files are named by the rules and hold no word of where they were made', () => {
  const offences: Offence[] = [];
  for (const { path, source } of files) {
    if (path.endsWith('.ts')) continue;
    checkName(path, (rule, line, message) => offences.push({ path, line, rule, message }));
    if (path !== 'package-lock.json') offences.push(...checkText(path, source));
  }
  expect(lines(offences)).toEqual([]);
});

test('nothing else lies at the top', () => {
  expect(lines(checkTopLevel(topNames.map((entry) => entry.name)))).toEqual([]);
});

test('the lock file names no registry', () => {
  const lock = files.find(({ path }) => path === 'package-lock.json');
  expect(lines(checkLockFile('package-lock.json', lock?.source ?? ''))).toEqual([]);
  expect(lock?.source).toContain('"integrity"');
});

test('the table of errors in the README says what the code says', () => {
  const readme = files.find(({ path }) => path === 'README.md')?.source ?? '';
  expect(lines(checkErrorTable(readme, ERROR_CODES))).toEqual([]);
});

test('every folder tells what it owns', () => {
  for (const folder of ['runtime', 'operators', 'checkpoint', 'jobs', 'test'])
    expect(paths).toContain(`${folder}/README.md`);
});
