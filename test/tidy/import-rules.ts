// Owns the table of who may import what (the architecture's layout), as data. Paths are those of the repository; the
// first row whose folder fits a file counts.

export interface ImportRule {
  /** Folders or files the rule is for; `*` stands for one folder. */
  readonly folders: readonly string[];
  /** Folders and files of ours that may be imported, the own ones aside. */
  readonly ours: readonly string[];
  /** Node's modules that may be imported; null: all. */
  readonly node: readonly string[] | null;
  /** npm packages that may be imported; null: all. */
  readonly packages: readonly string[] | null;
  readonly why: string;
}

const LIBRARIES = [
  'operators/formats',
  'operators/series',
  'operators/sketch',
  'operators/records',
  'operators/promql',
];

/** Timers of an operator, whichever operator that is. */
const KEYED_TIMERS = 'operators/process/keyed-timers.ts';

/** Contracts may be imported by all; so may the record batch, which is the log port's unit. */
export const CONTRACTS = ['*/contract.ts', '*/*/contract.ts', 'runtime/log/record-batch.ts'];

export const IMPORT_RULES: readonly ImportRule[] = [
  {
    folders: ['runtime/std'],
    ours: [],
    node: null,
    packages: null,
    why: 'std knows Node and nothing of ours',
  },
  {
    folders: LIBRARIES,
    ours: ['runtime/std', ...LIBRARIES],
    node: ['node:buffer', 'node:zlib'],
    packages: null,
    why: 'libraries of operators know std and each other: no state, no I/O',
  },
  {
    folders: ['operators/*'],
    ours: ['runtime/std', ...LIBRARIES, KEYED_TIMERS],
    node: ['node:buffer'],
    packages: [],
    why: 'an operator knows std, contracts and the libraries: no I/O, no other operator',
  },
  {
    folders: ['checkpoint'],
    ours: ['runtime/std'],
    node: ['node:crypto', 'node:fs', 'node:fs/promises', 'node:os', 'node:path', 'node:zlib'],
    packages: ['level', 'aws4fetch'],
    why: 'checkpoints know std, contracts, LevelDB, files and S3: no record, no operator',
  },
  {
    folders: ['runtime/task', 'runtime/slot'],
    ours: ['runtime/std', 'runtime/task', 'runtime/slot', 'checkpoint'],
    node: ['node:crypto', 'node:worker_threads'],
    packages: [],
    why: 'tasks and slots know std, contracts and checkpoints: no format, no Kafka, no operator',
  },
  {
    folders: ['runtime/log/*', 'runtime/log'],
    ours: ['runtime/std', 'runtime/log/codecs.ts'],
    node: null,
    packages: null,
    why: 'a log knows std and its clients: no state, no operator, no other log',
  },
  {
    folders: ['runtime/effect'],
    ours: ['runtime/std', 'runtime/effect'],
    node: null,
    packages: [],
    why: 'effects know std, contracts and their protocol: no log, no operator, no format',
  },
  {
    folders: ['runtime/control', 'runtime/http'],
    ours: ['runtime/std', 'runtime/control'],
    node: null,
    packages: null,
    why: 'control and HTTP know std and contracts: no record',
  },
  { folders: ['jobs', 'test', 'jobs.config.ts'], ours: ['*'], node: null, packages: null, why: 'jobs compose' },
];

/** Whether `path` lies in `folder` (or is that file); `*` stands for one name, a lone `*` for everything. */
export function isWithin(path: string, folder: string): boolean {
  if (folder === '*') return true;
  const wanted = folder.split('/');
  const names = path.split('/');
  return wanted.length <= names.length && wanted.every((name, at) => name === '*' || name === names[at]);
}

export function importRuleOf(path: string): ImportRule | null {
  return IMPORT_RULES.find((rule) => rule.folders.some((folder) => isWithin(path, folder))) ?? null;
}

/** What is wrong with importing `target` (a path of the repository) from `path`, or null. */
export function ourImportFault(path: string, target: string): string | null {
  const rule = importRuleOf(path);
  if (rule === null) return `no import rule covers ${path}`;
  if (CONTRACTS.some((contract) => isWithin(target, contract) && target.endsWith(contract.replaceAll('*/', '')))) {
    return null;
  }
  const own = rule.folders.find((folder) => isWithin(path, folder)) as string;
  const ownFolder = path.split('/').slice(0, own.split('/').length).join('/');
  if (isWithin(target, ownFolder) || rule.ours.some((folder) => isWithin(target, folder))) return null;
  return `imports ${target}: ${rule.why}`;
}

export function nodeImportFault(path: string, specifier: string): string | null {
  const rule = importRuleOf(path);
  return rule?.node?.includes(specifier) === false ? `imports ${specifier}: ${rule.why}` : null;
}

export function packageImportFault(path: string, name: string): string | null {
  const rule = importRuleOf(path);
  return rule?.packages?.includes(name) === false ? `imports package ${name}: ${rule.why}` : null;
}
