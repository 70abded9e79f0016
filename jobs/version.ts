// Owns the version of a job: a hash of what decides its output. Two processes with the same version may replay each
// other's entries. Depends on contents only, never on where the files lie.

import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isPlainObject } from '#jobs/option-reader.ts';
import type { Plan } from '#jobs/plan.ts';
import { StreamError } from '#runtime/std/errors.ts';

/**
 * Raised by one when an operator gives other output for the same input and state than before. Part of every version,
 * so that a state is never replayed by operators that did not write it.
 */
export const OPERATOR_VERSIONS = {
  samples: 3,
  'exchange-source': 1,
  map: 1,
  filter: 1,
  'key-by': 1,
  'tumbling-window': 1,
  stats: 1,
  'topic-sink': 1,
  'exchange-sink': 1,
  'late-sink': 1,
  records: 2,
  'record-transform': 2,
  process: 1,
  'record-sink': 1,
  rows: 3,
  'final-hold': 1,
  'remote-write-sink': 2,
  'record-window': 1,
  'count-window': 1,
  'interval-join': 1,
  lookup: 2,
  'local-aggregate': 1,
} as const;

/** Everything below the package's own folder is covered by the engine's version. */
const PACKAGE_DIRECTORY = fileURLToPath(new URL('..', import.meta.url));

/** The version of this package. */
export function engineVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}

export interface VersionOptions {
  readonly plan: Plan;
  /** Absolute path of the job module. */
  readonly modulePath: string;
  /** Options the module was given by the configuration. */
  readonly options: unknown;
  readonly engineVersion: string;
  readonly nodeMajor: number;
  /** For tests: where the package lies. @default this package */
  readonly packageDirectory?: string;
}

/** 16 hex digits. Error: job-invalid when the module cannot be read. */
export function jobVersion(options: VersionOptions): string {
  const { plan, modulePath, engineVersion, nodeMajor } = options;
  const modules = moduleHashes(modulePath, options.packageDirectory ?? PACKAGE_DIRECTORY);
  const decided = {
    plan,
    modules,
    options: options.options ?? null,
    operators: OPERATOR_VERSIONS,
    engineVersion,
    nodeMajor,
  };
  return hash('sha256', canonicalJson(decided), 'hex').slice(0, 16);
}

/** Hashes of the job module and of the author's modules it imports; keyed by path relative to the job module. */
function moduleHashes(modulePath: string, packageDirectory: string): Record<string, string> {
  const base = dirname(modulePath);
  const hashes: Record<string, string> = {};
  const open = [modulePath];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const name = relative(base, path).split(sep).join('/');
    if (hashes[name] !== undefined) continue;
    const source = readModule(path, path === modulePath);
    hashes[name] = source === null ? 'missing' : hash('sha256', source, 'hex');
    for (const specifier of ownImports(source ?? '')) {
      const imported = resolveImport(specifier, path);
      if (!isInside(imported, packageDirectory)) open.push(imported);
    }
  }
  return hashes;
}

function isInside(path: string, directory: string): boolean {
  return path.startsWith(directory.endsWith(sep) ? directory : directory + sep);
}

/** An import that is not there may stand in a comment: Node says so when it is none. */
function readModule(path: string, required: boolean): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (!required) return null;
    throw new StreamError('job-invalid', `job module ${path} cannot be read`, 'correct the path of the module', {
      cause,
    });
  }
}

/** Relative specifiers and the author's own `#…` ones, of static and dynamic imports and re-exports. */
function ownImports(source: string): string[] {
  const pattern = /(?:\bfrom|\bimport)\s*\(?\s*(['"])((?:\.{1,2}\/|#)[^'"]+)\1/g;
  return [...source.matchAll(pattern)].map((match) => match[2].split('?')[0]);
}

function resolveImport(specifier: string, importer: string): string {
  if (specifier.startsWith('.')) return resolve(dirname(importer), specifier);
  try {
    return createRequire(importer).resolve(specifier);
  } catch {
    return resolve(dirname(importer), specifier);
  }
}

/** JSON with sorted keys, so that the order in which an object was written does not count. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isPlainObject(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}
