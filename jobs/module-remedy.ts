// Owns what to do about a module of somebody else that Node cannot load: its messages say what is wrong, and leave
// people who only wrote down a job alone with it. Loads nothing itself.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** For the error of `import(path)`. */
export function moduleRemedy(path: string, cause: unknown): string {
  if (!(cause instanceof Error)) return 'mend the module';
  const { message } = cause;
  const importer = /imported from (.+)$/.exec(message)?.[1] ?? path;
  switch ((cause as NodeJS.ErrnoException).code) {
    case 'ERR_MODULE_NOT_FOUND': {
      const name = /^Cannot find package '(.+?)'/.exec(message)?.[1];
      if (name === 'millrace') return installMillrace(importer);
      if (name !== undefined) return `run npm install ${name} in ${packageDirectory(importer) ?? dirname(importer)}`;
      return `correct the import in ${importer}: a path of a file is relative to it and written with its ending, as in './orders.ts'`;
    }
    case 'ERR_PACKAGE_IMPORT_NOT_DEFINED':
      return `names with # belong to the package that defines them: import from 'millrace' in ${importer}`;
    case 'ERR_PACKAGE_PATH_NOT_EXPORTED':
      return `import what the package offers; of Millrace that is 'millrace', and 'millrace/testing' for tests`;
    case 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING':
      return 'packages must hold JavaScript: build this one before it is installed, or move the file out of node_modules';
    case 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX':
      return 'Node only leaves types out: use no enum, namespace or parameter property (erasableSyntaxOnly of tsconfig.json finds them)';
  }
  if (message === 'Cannot use import statement outside a module') {
    return `run npm pkg set type=module in ${packageDirectory(importer) ?? dirname(importer)}`;
  }
  if (/^The requested module .* does not provide an export named/.test(message)) {
    return 'correct the name in the import; what is only a type is imported with import type';
  }
  return 'mend the module';
}

function installMillrace(importer: string): string {
  const directory = packageDirectory(importer);
  const then = 'then start it there with npx millrace';
  if (directory !== null) return `run npm install millrace in ${directory}, ${then}`;
  const commands = 'npm init -y && npm pkg set type=module && npm install millrace';
  return `${dirname(importer)} belongs to no package: run ${commands} there, or move the file to a project that has millrace; ${then}`;
}

/** The folder of the nearest package.json at or above the file, null when there is none. */
function packageDirectory(file: string): string | null {
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    if (existsSync(join(directory, 'package.json'))) return directory;
    if (directory === dirname(directory)) return null;
  }
}
