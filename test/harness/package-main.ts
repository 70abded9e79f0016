// Owns building the published package: npm runs `build` before it packs and `restore` behind it. Sources become
// JavaScript and declarations in a folder that is not kept, and for the time of packing package.json names that folder
// instead of the sources: Node refuses TypeScript in node_modules.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BUILT, builtManifest, type Manifest, packedManifest } from './package-manifest.ts';

const ROOT = new URL('../..', import.meta.url);
const MANIFEST = new URL('package.json', ROOT);
const WORK = new URL('.cache/package/', ROOT);
const SAVED = new URL('package.json', WORK);
const PROJECT = new URL('tsconfig.json', WORK);

/** What `millrace` and its threads are made of, and the test driver with what it stands on. */
const SOURCES = { include: ['runtime', 'operators', 'checkpoint', 'jobs'], files: ['test/harness/driver.ts'] };

function build(): void {
  restore();
  rmSync(new URL(BUILT, ROOT), { recursive: true, force: true });
  mkdirSync(WORK, { recursive: true });
  compile({ noEmit: true });
  // What was checked is not checked again; this time the compiler would ask for imports that it can rewrite.
  compile({ noEmit: false, noCheck: true, declaration: true, rewriteRelativeImportExtensions: true });
  const text = readFileSync(MANIFEST, 'utf8');
  const manifest = JSON.parse(text) as Manifest;
  writeFileSync(new URL(`${BUILT}/package.json`, ROOT), json(builtManifest(manifest)));
  for (const source of Object.values(manifest.bin)) {
    chmodSync(new URL(source.replace(/^\.\/(.*)\.ts$/, `${BUILT}/$1.js`), ROOT), 0o755);
  }
  writeFileSync(SAVED, text);
  writeFileSync(MANIFEST, json(packedManifest(manifest)));
}

/** Also what an interrupted build left. */
function restore(): void {
  if (!existsSync(SAVED)) return;
  writeFileSync(MANIFEST, readFileSync(SAVED));
  rmSync(SAVED);
  rmSync(new URL(BUILT, ROOT), { recursive: true, force: true });
}

function compile(options: object): void {
  const here = (path: string) => `../../${path}`;
  const project = {
    extends: here('tsconfig.json'),
    compilerOptions: { ...options, outDir: here(BUILT), rootDir: here('') },
    include: SOURCES.include.map(here),
    files: SOURCES.files.map(here),
  };
  writeFileSync(PROJECT, json(project));
  const compiler = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')));
  const { status } = spawnSync(process.execPath, [compiler, '-p', fileURLToPath(PROJECT)], { stdio: 'inherit' });
  if (status !== 0) throw new Error('the sources do not compile');
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

const [task] = process.argv.slice(2);
if (task === 'restore') restore();
else build();
