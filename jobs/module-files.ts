// Owns which files a job module is made of: itself and the author's modules it imports, found by reading, never by
// running. Everything below the package's own folder is the engine's, and none of them.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StreamError } from '#runtime/std/errors.ts';

/** Everything in here but a job module itself is covered by the engine's version. */
export const PACKAGE_DIRECTORY = fileURLToPath(new URL('..', import.meta.url));

/**
 * Sources by absolute path, the module first; null: it is imported and not there. Error: job-invalid when the module
 * itself cannot be read.
 */
export function moduleFiles(
  modulePath: string,
  packageDirectory: string = PACKAGE_DIRECTORY,
): Map<string, string | null> {
  const files = new Map<string, string | null>();
  const open = [modulePath];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (files.has(path)) continue;
    const source = readModule(path, path === modulePath);
    files.set(path, source);
    for (const specifier of ownImports(source ?? '')) {
      const imported = resolveImport(specifier, path);
      if (!isInside(imported, packageDirectory)) open.push(imported);
    }
  }
  return files;
}

export function isInside(path: string, directory: string): boolean {
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
  if (specifier.startsWith('.')) return resolve(importer, '..', specifier);
  try {
    return createRequire(importer).resolve(specifier);
  } catch {
    return resolve(importer, '..', specifier);
  }
}
