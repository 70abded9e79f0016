// Owns the version of a job: a hash of what decides its output. Two processes with the same version may replay each
// other's entries. Depends on contents only, never on where the files lie.

import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, relative, sep } from 'node:path';
import { moduleFiles } from '#jobs/module-files.ts';
import { isPlainObject } from '#jobs/option-reader.ts';
import type { Plan } from '#jobs/plan.ts';
import type { VersionParts } from '#runtime/task/task-version.ts';

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

/** What the version is made of, one by one. Error: job-invalid when the module cannot be read. */
export function jobVersionParts(options: VersionOptions): VersionParts {
  const { plan, modulePath, engineVersion: engine, nodeMajor: node } = options;
  const modules = moduleHashes(modulePath, options.packageDirectory);
  return { job: shortHash({ plan, modules, options: options.options ?? null }), engine, node };
}

/** Hash of a module with what it imports, and of its options: what somebody wrote, whatever the engine makes of it. */
export function moduleHash(modulePath: string, options: unknown): string {
  return shortHash({ modules: moduleHashes(modulePath, undefined), options: options ?? null });
}

/** 16 hex digits. Error: job-invalid when the module cannot be read. */
export function jobVersion(options: VersionOptions): string {
  const { plan, modulePath, engineVersion, nodeMajor } = options;
  const modules = moduleHashes(modulePath, options.packageDirectory);
  const decided = {
    plan,
    modules,
    options: options.options ?? null,
    operators: OPERATOR_VERSIONS,
    engineVersion,
    nodeMajor,
  };
  return shortHash(decided);
}

function shortHash(value: unknown): string {
  return hash('sha256', canonicalJson(value), 'hex').slice(0, 16);
}

/** Hashes of the files of a job module; keyed by path relative to the module. */
function moduleHashes(modulePath: string, packageDirectory: string | undefined): Record<string, string> {
  const base = dirname(modulePath);
  const hashes: Record<string, string> = {};
  for (const [path, source] of moduleFiles(modulePath, packageDirectory)) {
    const name = relative(base, path).split(sep).join('/');
    hashes[name] = source === null ? 'missing' : hash('sha256', source, 'hex');
  }
  return hashes;
}

/** JSON with sorted keys, so that the order in which an object was written does not count. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isPlainObject(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}
