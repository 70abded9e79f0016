// Owns bundles: the files of a job module as one piece of plain data, so that a job can be deployed from elsewhere, moved
// to another process, and run again as it was. A bundle is named by the hash of its content. Packages (`millrace` among
// them) are not in it: they are those of the place where it is unpacked.

import { hash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { isInside, moduleFiles, PACKAGE_DIRECTORY } from '#jobs/module-files.ts';
import { isPlainObject } from '#jobs/option-reader.ts';
import { canonicalJson } from '#jobs/version.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface Bundle {
  readonly format: 1;
  /** The job module, as it is called in `files`. */
  readonly entry: string;
  /** Sources by path relative to the package of the module, with `/`. */
  readonly files: Readonly<Record<string, string>>;
  /** What of the package's description decides how they are loaded. */
  readonly package: { readonly type: string; readonly imports: unknown };
  /** The module comes with Millrace itself: it is not unpacked, but must be the same everywhere. */
  readonly shipped: boolean;
}

/** Of all files of a bundle together, in characters. */
export const BUNDLE_LENGTH_MAX = 4 * 1024 * 1024;
const FILES_MAX = 1_000;
const FILE_NAME = /^(?!.*(?:^|\/)\.{0,2}(?:\/|$))[^\\:\0]{1,512}$/;

/** Gathers a module and what it imports of its own package. Error: job-invalid. */
export function packBundle(modulePath: string): Bundle {
  const root = packageOf(modulePath);
  const files: Record<string, string> = {};
  let length = 0;
  for (const [path, source] of moduleFiles(modulePath)) {
    if (source === null) continue;
    const name = relative(root.directory, path).split(sep).join('/');
    if (!FILE_NAME.test(name)) {
      throw new StreamError(
        'job-invalid',
        `${modulePath} imports ${path}, which lies outside of its package ${root.directory}`,
        'move the file into the package of the job, or make a package of its own of it',
      );
    }
    files[name] = source;
    length += source.length;
  }
  if (length > BUNDLE_LENGTH_MAX || Object.keys(files).length > FILES_MAX) throw tooLarge(modulePath);
  const { imports, type } = root;
  return {
    format: 1,
    entry: relative(root.directory, modulePath).split(sep).join('/'),
    files,
    package: { type, imports },
    shipped: isInside(modulePath, PACKAGE_DIRECTORY),
  };
}

/** 32 hex digits. */
export function bundleHash(bundle: Bundle): string {
  return hash('sha256', canonicalJson(bundle), 'hex').slice(0, 32);
}

/** What somebody sent, when it is a bundle. Error: job-invalid. */
export function readBundle(value: unknown): Bundle {
  const wrong = (why: string) =>
    new StreamError(
      'job-invalid',
      `this is no bundle of a job: ${why}`,
      'let `millrace deploy MODULE` make and send it',
    );
  if (!isPlainObject(value) || value['format'] !== 1) throw wrong('its format is not 1');
  const { entry, files, package: description } = value;
  if (!isPlainObject(files) || Object.keys(files).length > FILES_MAX) throw wrong('it has no files, or too many');
  let length = 0;
  for (const [name, source] of Object.entries(files)) {
    if (!FILE_NAME.test(name)) throw wrong(`'${name}' is no name of a file in it`);
    if (typeof source !== 'string') throw wrong(`'${name}' is no text`);
    length += source.length;
  }
  if (length > BUNDLE_LENGTH_MAX) throw tooLarge(String(entry));
  if (typeof entry !== 'string' || !Object.hasOwn(files, entry)) throw wrong('its entry is not among its files');
  const type = isPlainObject(description) ? description['type'] : null;
  if (type !== 'module' && type !== 'commonjs') throw wrong('its package has no type');
  const imports = (description as Record<string, unknown>)['imports'] ?? null;
  const shipped = value['shipped'] === true;
  return { format: 1, entry, files: files as Bundle['files'], package: { type, imports }, shipped };
}

/**
 * Writes the files into a folder of their own below `directory`, if they are not there, and returns the path of the job
 * module. Packages are looked up from there upwards. Errors: directory-not-writable, version-mismatch.
 */
export function unpackBundle(bundle: Bundle, directory: string): string {
  if (bundle.shipped) return shippedModule(bundle);
  const name = bundleHash(bundle);
  const home = join(directory, name);
  const module = join(home, ...bundle.entry.split('/'));
  if (isWhole(bundle, home)) return module;
  const fresh = join(directory, `.${name}.${randomBytes(6).toString('hex')}`);
  try {
    for (const [file, source] of [...Object.entries(bundle.files), ['package.json', description(bundle)]]) {
      const path = join(fresh, ...file.split('/'));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, source);
    }
    rmSync(home, { recursive: true, force: true });
    renameSync(fresh, home);
  } catch (cause) {
    rmSync(fresh, { recursive: true, force: true });
    if (isWhole(bundle, home)) return module;
    throw new StreamError(
      'directory-not-writable',
      `the bundle of a job cannot be written to ${directory}: ${(cause as Error).message}`,
      'let the user Millrace runs as write to that directory: job modules from other processes are kept there',
      { cause },
    );
  }
  return module;
}

function shippedModule(bundle: Bundle): string {
  if (isWhole(bundle, PACKAGE_DIRECTORY)) return join(PACKAGE_DIRECTORY, ...bundle.entry.split('/'));
  throw new StreamError(
    'version-mismatch',
    `'${bundle.entry}' comes with Millrace, and is another one here than where the job was deployed`,
    'run the same version of Millrace in all processes; to change the job, copy it into a module of your own',
  );
}

function isWhole(bundle: Bundle, home: string): boolean {
  return Object.entries(bundle.files).every(([file, source]) => {
    const path = join(home, ...file.split('/'));
    return existsSync(path) && readFileSync(path, 'utf8') === source;
  });
}

function description({ package: { imports, type } }: Bundle): string {
  // Without a word Node looks at the syntax, as it did where the module came from.
  return JSON.stringify({ private: true, ...(type === 'module' && { type }), ...(imports !== null && { imports }) });
}

interface PackageOf {
  readonly directory: string;
  readonly type: string;
  readonly imports: unknown;
}

/** The package a module belongs to; its own folder when there is none. */
function packageOf(modulePath: string): PackageOf {
  for (let at = dirname(resolve(modulePath)); ; at = dirname(at)) {
    const file = join(at, 'package.json');
    if (existsSync(file)) {
      const described: unknown = JSON.parse(readFileSync(file, 'utf8'));
      const { imports = null, type = 'commonjs' } = isPlainObject(described) ? described : {};
      return { directory: at, type: String(type), imports };
    }
    if (dirname(at) === at) return { directory: dirname(resolve(modulePath)), type: 'commonjs', imports: null };
  }
}

function tooLarge(what: string): StreamError {
  return new StreamError(
    'job-invalid',
    `${what} and what it imports have more than ${BUNDLE_LENGTH_MAX} characters or ${FILES_MAX} files`,
    'import only what the job needs; make packages of libraries',
  );
}
