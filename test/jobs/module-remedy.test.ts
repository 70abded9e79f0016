// Modules that Node cannot load, in real folders, through the real command: each is told with what to do about it.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const CONFIG = "import { defineConfig } from 'millrace';\nexport default defineConfig({});\n";

let directory: string;

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'millrace-modules-')));
});

afterEach(() => rmSync(directory, { recursive: true }));

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
}

/** What `millrace up` says of the configuration in the folder. */
function said(config = 'jobs.config.ts'): { readonly what: string; readonly remedy: string } {
  const node = join(ROOT, 'node_modules/node/bin/node');
  const run = spawnSync(node, [join(ROOT, 'jobs/main.ts'), 'up', '--config', join(directory, config)], {
    cwd: directory,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
  });
  expect(run.status).toBe(1);
  const [, what, remedy] = /^millrace: (.*)\n {2}remedy: (.*)$/m.exec(run.stderr) ?? [];
  return { what, remedy };
}

test('a configuration outside any package is told how to make one', () => {
  write({ 'jobs.config.ts': CONFIG });
  const { what, remedy } = said();
  expect(what).toBe(
    `configuration ${directory}/jobs.config.ts cannot be loaded: Cannot find package 'millrace' imported from ${directory}/jobs.config.ts`,
  );
  expect(remedy).toBe(
    `${directory} belongs to no package: run npm init -y && npm pkg set type=module && npm install millrace there, or move the file to a project that has millrace; then start it there with npx millrace`,
  );
});

test('a package without millrace is told to install it, where its package.json is', () => {
  write({ 'package.json': '{ "type": "module" }', 'monitoring/jobs.config.ts': CONFIG });
  expect(said('monitoring/jobs.config.ts').remedy).toBe(
    `run npm install millrace in ${directory}, then start it there with npx millrace`,
  );
});

test('a module that is imported by the one that was asked for is the one that is named', () => {
  write({
    'package.json': '{ "type": "module" }',
    'jobs.config.ts': "import './shared/thresholds.ts';\nexport default 1;\n",
    'shared/package.json': '{ "type": "module" }',
    'shared/thresholds.ts': "import yaml from '@scope/yaml/parse';\nexport const limits = yaml;\n",
  });
  expect(said().remedy).toBe(`run npm install @scope/yaml in ${directory}/shared`);
});

test.each([
  [
    'a file that is not there',
    "import { a } from './orders';",
    /^correct the import in \/.*jobs\.config\.ts: .*'\.\/orders\.ts'$/,
  ],
  ['a name of our own package', "import { a } from '#jobs/config.ts';", /import from 'millrace'/],
  ['an enum', 'enum Level { High }', /no enum/],
  ['a name that is not exported', "import { joinn } from 'node:path';", /correct the name in the import/],
  ['a type that is imported as a value', "import { Stats } from 'node:fs/promises';", /import type/],
  ['TypeScript in a package', "import { a } from 'typed';", /packages must hold JavaScript/],
  ['a path that a package does not offer', "import { a } from 'closed/inside';", /import what the package offers/],
])('%s', (_, line, remedy) => {
  write({
    'package.json': '{ "type": "module" }',
    'jobs.config.ts': `${line}\nexport default 1;\n`,
    'node_modules/typed/package.json': '{ "exports": "./index.ts" }',
    'node_modules/typed/index.ts': 'export const a: number = 1;',
    'node_modules/closed/package.json': '{ "exports": "./index.js" }',
  });
  expect(said().remedy).toMatch(remedy);
});

test('a package of CommonJS is told to change', () => {
  write({ 'package.json': '{ "type": "commonjs" }', 'jobs.config.ts': "import 'node:path';\nexport default 1;\n" });
  expect(said().remedy).toBe(`run npm pkg set type=module in ${directory}`);
});
