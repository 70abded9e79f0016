// Owns the house rules as a pure function from (path, source) to offences. What is forbidden is written here as patterns
// that do not match themselves. Which files there are is the test's affair.

import { importRuleOf, nodeImportFault, ourImportFault, packageImportFault } from '#test/tidy/import-rules.ts';
import { findFunctions, lineOf, readSource, type SourceText } from '#test/tidy/source-text.ts';

export interface Offence {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

export const FILE_LINES_MAX = 400;
export const FUNCTION_LINES_MAX = 75;
const OPENING_LINES_MAX = 5;

const PRODUCT = /^(runtime|operators|checkpoint|jobs)\//;
/** Files that are run and not imported: commands and worker threads. */
const ENTRY_POINT = /(^|[/-])(main|thread)\.ts$/;
/** The only barrel: what users of the package import. */
const PACKAGE_ENTRY = 'jobs/millrace.ts';

/** Offences of one TypeScript file. */
export function checkSourceFile(path: string, source: string): Offence[] {
  const text = readSource(path, source);
  const offences: Offence[] = [];
  const report = (rule: string, line: number, message: string) => offences.push({ path, line, rule, message });
  checkName(path, report);
  checkOpening(text, report);
  checkSize(text, report);
  checkImports(text, report);
  checkPatterns(text, report);
  checkExports(text, report);
  if (PRODUCT.test(path) && !ENTRY_POINT.test(path)) checkSideEffects(text, report);
  return offences;
}

type Report = (rule: string, line: number, message: string) => void;

const FORBIDDEN_NAMES =
  /^(utils?|helpers?|common|types?|misc|managers?|[a-z-]+-(utils?|helpers?|common|misc|manager))$/;

export function checkName(path: string, report: Report): void {
  const names = path.split('/');
  const file = names.pop() as string;
  const stem = file.replace(/^\.+/, '').split('.')[0];
  const folders = names.map((folder) => folder.replace(/^\.+/, ''));
  for (const name of [...folders, stem]) {
    if (FORBIDDEN_NAMES.test(name)) report('name', 1, `'${name}' says nothing: name it after what it owns`);
  }
  const upperCase = /^(README|CONTRIBUTING|CHANGELOG)\.md$/.test(file);
  if (!upperCase && !/^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*$/.test(file)) {
    report('name', 1, `'${file}' is not kebab-case`);
  }
}

function checkOpening(text: SourceText, report: Report): void {
  const lines = text.source.split('\n');
  if (lines[0].startsWith('#!')) lines.shift();
  let size = 0;
  while (lines[size]?.startsWith('//')) size++;
  // The names of its tests say what a test file owns.
  if (size === 0 && !text.path.endsWith('.test.ts'))
    report('opening', 1, 'opens without a comment: say what it owns, what it does not, its invariant');
  if (size > OPENING_LINES_MAX)
    report('opening', 1, `opens with ${size} lines of comment: at most ${OPENING_LINES_MAX}`);
}

function checkSize(text: SourceText, report: Report): void {
  const lines = text.source.trimEnd().split('\n').length;
  if (lines > FILE_LINES_MAX) report('size', 1, `has ${lines} lines: at most ${FILE_LINES_MAX}`);
  if (text.path.startsWith('test/')) return;
  for (const { line, lines: length, name } of findFunctions(text.code)) {
    if (length > FUNCTION_LINES_MAX) report('size', line, `${name} has ${length} lines: at most ${FUNCTION_LINES_MAX}`);
  }
}

function checkImports(text: SourceText, report: Report): void {
  const { path } = text;
  if (importRuleOf(path) === null) {
    report('import', 1, 'lies where no import rule reaches');
    return;
  }
  for (const { line, specifier, typeOnly } of text.imports) {
    if (specifier.startsWith('.') && (path.startsWith('test/') || specifier === '../package.json')) continue;
    if (specifier.startsWith('.')) {
      report('import', line, `imports ${specifier}: import ours from its top folder ('#runtime/…')`);
    } else if (specifier.startsWith('#')) {
      if (!/\.(ts|json)$/.test(specifier)) report('import', line, `imports ${specifier} without its ending`);
      const target = specifier.slice(1);
      const fault = ourImportFault(path, target);
      if (fault !== null) report('import', line, fault);
      if (PRODUCT.test(path) && target.startsWith('test/')) report('import', line, `the product imports ${target}`);
    } else if (specifier.startsWith('node:')) {
      const fault = typeOnly ? null : nodeImportFault(path, specifier);
      if (fault !== null) report('import', line, fault);
    } else {
      const fault = packageImportFault(path, packageOf(specifier));
      if (fault !== null) report('import', line, fault);
    }
  }
}

/** `@scope/name` or `name` of a specifier. */
export function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** npm packages that more than one product file imports. */
export function checkDoors(files: readonly { readonly path: string; readonly source: string }[]): Offence[] {
  const doors = new Map<string, string>();
  const offences: Offence[] = [];
  for (const { path, source } of files) {
    if (!PRODUCT.test(path)) continue;
    for (const { line, specifier } of readSource(path, source).imports) {
      if (/^([.#]|node:)/.test(specifier)) continue;
      const name = packageOf(specifier);
      const door = doors.get(name);
      if (door === undefined) doors.set(name, path);
      else if (door !== path) {
        const message = `imports ${name}, whose door is ${door}`;
        offences.push({ path, line, rule: 'door', message });
      }
    }
  }
  return offences;
}

interface Pattern {
  readonly rule: string;
  readonly pattern: RegExp;
  /** Where it is looked for; the whole source includes strings. */
  readonly where: 'code' | 'comments' | 'source';
  readonly applies: (path: string) => boolean;
  readonly message: string;
}

const everywhere = () => true;
const inProduct = (path: string) => PRODUCT.test(path);
const inOperators = (path: string) => path.startsWith('operators/');
const inOperatorsBut =
  (...exempt: readonly string[]) =>
  (path: string) =>
    inOperators(path) && !exempt.includes(path);
const inProductBut =
  (...exempt: readonly string[]) =>
  (path: string) =>
    inProduct(path) && !exempt.includes(path);

const PATTERNS: readonly Pattern[] = [
  {
    rule: 'clock',
    pattern: /\bDate\s*\.\s*now\b|\bnew Date\s*(?:\(\s*\)|(?!\s*\())|\bperformance\s*\.\s*now\b|\bprocess\.hrtime\b/g,
    where: 'code',
    applies: inProductBut('runtime/std/clock.ts'),
    message: 'reads the time: take a Clock',
  },
  {
    rule: 'clock',
    pattern: /\bDate\b/g,
    where: 'code',
    applies: inOperators,
    message: 'an operator knows no Date',
  },
  {
    rule: 'clock',
    pattern: /\bset(?:Timeout|Interval)\s*\(/g,
    where: 'code',
    applies: inProductBut('runtime/std/clock.ts'),
    message: 'waits by itself: use Clock.sleep',
  },
  {
    rule: 'randomness',
    pattern: /\bMath\s*\.\s*random\b/g,
    where: 'code',
    applies: everywhere,
    message: 'is random: take a seed, or random bytes at the edge',
  },
  {
    rule: 'randomness',
    pattern: /\b(?:crypto\.getRandomValues|randomUUID|randomBytes)\b/g,
    where: 'code',
    applies: (path) => inProduct(path) && !/^(jobs|runtime\/log)\//.test(path),
    message: 'is random: take random bytes from the edge',
  },
  {
    rule: 'environment',
    pattern: /\bprocess\s*\.\s*(?:env|argv|cwd)\b/g,
    where: 'code',
    applies: inProductBut('jobs/main.ts', 'jobs/launch-main.ts', 'jobs/config.ts'),
    message: 'reads the environment: only jobs/main.ts and env() do',
  },
  {
    rule: 'console',
    pattern: /\bconsole\s*\./g,
    where: 'code',
    applies: inProduct,
    message: 'writes to the console: use the Logger',
  },
  {
    rule: 'await',
    pattern: /\b(?:await|async)\b|\bPromise\b/g,
    where: 'code',
    applies: inOperatorsBut('operators/formats/schema-registry.ts'),
    message: 'an operator never waits',
  },
  {
    rule: 'type',
    pattern: /(?:[:<|&,(]\s*|\bas\s+|=>\s*)any\b(?!\s*[:(.?])/g,
    where: 'code',
    applies: everywhere,
    message: 'is any: say what it is, or unknown',
  },
  {
    rule: 'type',
    pattern: /@ts-(?:ignore|expect-error|nocheck)/g,
    where: 'comments',
    applies: everywhere,
    message: 'silences the compiler',
  },
  {
    rule: 'type',
    pattern:
      /^\s*(?:export\s+)?(?:const\s+|declare\s+)?(?:enum|namespace)\s+\w|^\s*(?:private|protected|public)\s(?!constructor\b)/gm,
    where: 'code',
    applies: everywhere,
    message: 'use unions, modules and #private fields',
  },
  {
    rule: 'leftover',
    pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/g,
    where: 'comments',
    applies: everywhere,
    message: 'is left over: do it, or write it down where work is planned',
  },
  {
    rule: 'leftover',
    pattern: /\b(?:test|it|describe|suite)\s*\.\s*(?:only|skip|todo)\b/g,
    where: 'code',
    applies: (path) => path.startsWith('test/'),
    message: 'leaves tests out',
  },
  {
    rule: 'error',
    pattern: /\bthrow\s+new\s+(?:Error|TypeError)\s*\(/g,
    where: 'code',
    applies: inProduct,
    message: 'is no StreamError and no invariant',
  },
];

function checkPatterns(text: SourceText, report: Report): void {
  for (const { applies, message, pattern, rule, where } of PATTERNS) {
    if (!applies(text.path)) continue;
    for (const match of text[where].matchAll(pattern)) {
      const begins = match.index + (match[0].length - match[0].trimStart().length);
      report(rule, lineOf(text.source, begins), `'${match[0].trim()}' ${message}`);
    }
  }
  for (const offence of checkText(text.path, text.source)) report(offence.rule, offence.line, offence.message);
}

/** Text that must stand nowhere: paths of a machine, addresses of registries, the place the work was done at. */
const FORBIDDEN_TEXT: readonly (readonly [RegExp, string])[] = [
  [/(?<![\w.])\/(?:[r]oot|[h]ome\/\w+|[U]sers\/\w+|[w]ork|[t]mp)\//g, 'is a path of one machine'],
  [/\bregistry\.[n]pmjs|[n]pm\.pkg\.|\bregistry\.[y]arnpkg/g, 'is the address of a registry'],
  [/\b[i]ssues? #?\d+\b/gi, 'is a number of a list that readers do not have'],
];

/** Offences of any text file. */
export function checkText(path: string, source: string): Offence[] {
  const offences: Offence[] = [];
  for (const [pattern, message] of FORBIDDEN_TEXT) {
    for (const match of source.matchAll(pattern)) {
      offences.push({ path, line: lineOf(source, match.index), rule: 'text', message: `'${match[0]}' ${message}` });
    }
  }
  return offences;
}

/** Defaults are for job modules and configurations; re-exports for the entry of the package. */
function checkExports(text: SourceText, report: Report): void {
  const { code, imports, path } = text;
  const isJob = imports.some(({ specifier }) => /^(#jobs\/define-job\.ts|millrace)$/.test(specifier));
  const mayDefault = path === 'jobs.config.ts' || path === 'test/vitest.config.ts' || isJob;
  for (const match of code.matchAll(/^export default\b|^export \{[^}]*\bas default\b/gm)) {
    if (!mayDefault)
      report('export', lineOf(code, match.index), 'exports a default: only job modules and configurations do');
  }
  if (path === PACKAGE_ENTRY) return;
  for (const { line, reexport, specifier } of imports) {
    if (reexport) report('export', line, `hands on ${specifier}: import it where it is needed`);
  }
}

/** Formatted code has its top-level statements at the left margin. */
function checkSideEffects(text: SourceText, report: Report): void {
  const allowed =
    /^(?:$|[\s})\]`]|import\b|export\b|const\b|let\b|(?:async )?function\b|(?:abstract )?class\b|interface\b|type\b|declare\b)/;
  for (const [at, line] of text.code.split('\n').entries()) {
    if (!allowed.test(line)) report('side-effect', at + 1, `'${line.trim()}' runs when the module is imported`);
  }
}

/** What may lie at the top of the repository, dot files and ignored folders aside. */
export const TOP_LEVEL: readonly string[] = [
  'runtime',
  'operators',
  'jobs',
  'checkpoint',
  'test',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'jobs.config.ts',
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
];

export function checkTopLevel(names: readonly string[]): Offence[] {
  const ignored = /^(\..*|node_modules|data|dist|.*\.(log|tgz))$/;
  return names
    .filter((name) => !ignored.test(name) && !TOP_LEVEL.includes(name))
    .map((path) => ({ path, line: 1, rule: 'top-level', message: 'does not belong at the top' }));
}

/** A lock file that names a registry works only where that registry is reached. */
export function checkLockFile(path: string, source: string): Offence[] {
  const offences: Offence[] = [];
  for (const match of source.matchAll(/"resolved":\s*"([^"]*)"/g)) {
    const message = `names the address ${match[1]}`;
    offences.push({ path, line: lineOf(source, match.index), rule: 'lock-file', message });
  }
  return offences;
}

/** Compares the README's table of errors with the codes, both ways. */
export function checkErrorTable(
  readme: string,
  codes: Readonly<Record<string, { readonly retryable: boolean; readonly meaning: string }>>,
): Offence[] {
  const path = 'README.md';
  const rows = new Map<string, { readonly text: string; readonly line: number }>();
  for (const [at, text] of readme.split('\n').entries()) {
    const code = /^\| `([a-z0-9-]+)` \| (?:yes|no) \|/.exec(text)?.[1];
    if (code !== undefined) rows.set(code, { text, line: at + 1 });
  }
  const offences: Offence[] = [];
  for (const [code, { meaning, retryable }] of Object.entries(codes)) {
    const wanted = `| \`${code}\` | ${retryable ? 'yes' : 'no'} | ${meaning} |`;
    const row = rows.get(code);
    if (row?.text === wanted) continue;
    offences.push({ path, line: row?.line ?? 1, rule: 'error-table', message: `the table of errors lacks: ${wanted}` });
  }
  for (const [code, { line }] of rows) {
    if (codes[code] !== undefined) continue;
    offences.push({ path, line, rule: 'error-table', message: `'${code}' is no code of runtime/std/errors.ts` });
  }
  return offences;
}
