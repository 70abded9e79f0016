// Every house rule finds an offence planted for it, at its line, and lets the honest neighbour pass.

import { describe, expect, test } from 'vitest';
import {
  checkDoors,
  checkErrorTable,
  checkLockFile,
  checkName,
  checkSourceFile,
  checkText,
  checkTopLevel,
  FILE_LINES_MAX,
  FUNCTION_LINES_MAX,
} from '#test/tidy/house-rules.ts';
import { CONTRACTS, IMPORT_RULES, importRuleOf } from '#test/tidy/import-rules.ts';

const OPENING = '// Owns nothing.\n\n';

/** `line [rule]` of each offence of a file that is honest but for `body`, whose first line is 3. */
function found(path: string, body: string): string[] {
  return checkSourceFile(path, OPENING + body).map(({ line, rule }) => `${line} [${rule}]`);
}

const LIBRARY = 'operators/formats/planted.ts';
const WINDOW = 'operators/windows/planted.ts';
const TASK = 'runtime/task/planted.ts';
const STORE = 'checkpoint/planted.ts';
const KAFKA = 'runtime/log/kafka/planted.ts';
const CONTROL = 'runtime/control/planted.ts';
const JOB = 'jobs/planted.ts';
const TEST = 'test/planted.test.ts';

describe('imports', () => {
  const importing = (specifier: string) => `import { a } from '${specifier}';\n`;

  test.each([
    ['runtime/std/planted.ts', '#runtime/log/murmur.ts'],
    [LIBRARY, '#checkpoint/page.ts'],
    [LIBRARY, 'node:fs'],
    [WINDOW, '#operators/sinks/topic-sink.ts'],
    [WINDOW, '#runtime/task/task-attempt.ts'],
    [WINDOW, '#jobs/plan.ts'],
    [WINDOW, 'node:net'],
    [WINDOW, 'kafkajs'],
    [STORE, '#operators/series/series-table.ts'],
    [STORE, '#runtime/log/embedded/log-files.ts'],
    [STORE, 'node:net'],
    [STORE, 'pino'],
    [TASK, '#operators/formats/json-sample.ts'],
    [TASK, '#runtime/log/kafka/kafka-client.ts'],
    [TASK, 'node:fs'],
    [TASK, 'kafkajs'],
    ['runtime/slot/planted.ts', '#jobs/load-job.ts'],
    [KAFKA, '#checkpoint/page.ts'],
    [KAFKA, '#runtime/log/embedded/log-files.ts'],
    [KAFKA, '#operators/sources/samples-source.ts'],
    [CONTROL, '#runtime/task/task-attempt.ts'],
    [CONTROL, '#operators/formats/json-sample.ts'],
    [JOB, '#test/harness/driver.ts'],
    [JOB, './plan.ts'],
    [JOB, '#jobs/plan'],
    ['elsewhere/planted.ts', '#runtime/std/clock.ts'],
  ])('%s may not import %s', (path, specifier) => {
    const offences = found(path, importing(specifier));
    if (importRuleOf(path) === null) expect(offences).toEqual(['1 [import]']);
    else expect(offences).toEqual(['3 [import]']);
  });

  test.each([
    ['runtime/std/planted.ts', 'node:fs'],
    [LIBRARY, '#runtime/std/errors.ts'],
    [LIBRARY, '#operators/series/canonical.ts'],
    [LIBRARY, 'snappy'],
    [WINDOW, '#checkpoint/contract.ts'],
    [WINDOW, '#runtime/task/contract.ts'],
    [WINDOW, '#operators/windows/pane-rows.ts'],
    ['operators/aggregates/planted.ts', '#operators/windows/contract.ts'],
    ['operators/sources/planted.ts', '#runtime/log/record-batch.ts'],
    [STORE, 'node:fs/promises'],
    [STORE, 'level'],
    [TASK, '#checkpoint/segment.ts'],
    [TASK, '#runtime/log/contract.ts'],
    [KAFKA, 'kafkajs'],
    [KAFKA, '#runtime/log/kafka/wire/frame.ts'],
    [JOB, '#operators/windows/tumbling-window.ts'],
    [JOB, '../package.json'],
    [TEST, './neighbour.ts'],
  ])('%s may import %s', (path, specifier) => {
    expect(found(path, importing(specifier))).toEqual([]);
  });

  test('are seen in every form', () => {
    const forms = [
      "import type { a } from '#jobs/plan.ts';",
      "import '#jobs/plan.ts';",
      "import a, { b } from '#jobs/plan.ts';",
      "import * as a from '#jobs/plan.ts';",
      "import {\n  a,\n  type B,\n} from '#jobs/plan.ts';",
      "import { type A } from '#jobs/plan.ts';",
    ];
    for (const form of forms) expect(found(WINDOW, form), form).toEqual(['3 [import]']);
    expect(found(TASK, "const load = () => import('#jobs/plan.ts');")).toEqual(['3 [import]']);
    expect(
      found(TASK, "// import { a } from '#jobs/plan.ts';\nconst text = \"import { a } from '#jobs/plan.ts'\";"),
    ).toEqual([]);
  });

  test('a type of a Node module is no I/O', () => {
    expect(found(TASK, "import type { Socket } from 'node:net';")).toEqual([]);
  });

  test('the table covers every folder of the product and says why', () => {
    for (const rule of IMPORT_RULES) expect(rule.why.length).toBeGreaterThan(5);
    for (const contract of CONTRACTS) expect(contract).toMatch(/\.ts$/);
    for (const path of [LIBRARY, WINDOW, TASK, STORE, KAFKA, CONTROL, JOB, TEST])
      expect(importRuleOf(path)).not.toBeNull();
  });

  test('a second door to a package is found, tests aside', () => {
    const file = (path: string) => ({ path, source: `${OPENING}import { a } from '@scope/name/deep';` });
    const offences = checkDoors([file('runtime/std/a.ts'), file('runtime/log/kafka/b.ts'), file('test/c.ts')]);
    expect(offences).toEqual([
      {
        path: 'runtime/log/kafka/b.ts',
        line: 3,
        rule: 'door',
        message: 'imports @scope/name, whose door is runtime/std/a.ts',
      },
    ]);
    expect(checkDoors([file('runtime/std/a.ts'), file('test/c.ts')])).toEqual([]);
  });
});

describe('code', () => {
  test.each([
    [TASK, 'const now = Date.now();', 'clock'],
    [TASK, 'const now = new Date();', 'clock'],
    [TASK, 'const now = performance.now();', 'clock'],
    [TASK, 'const wait = () => setTimeout(run, 5);', 'clock'],
    [WINDOW, 'const day = new Date(5);', 'clock'],
    [TASK, 'const draw = Math.random();', 'randomness'],
    [TEST, 'const draw = Math.random();', 'randomness'],
    [STORE, 'const name = randomUUID();', 'randomness'],
    [JOB, "const home = process.env['HOME'];", 'environment'],
    [TASK, 'const words = process.argv;', 'environment'],
    [JOB, "const say = () => console.log('x');", 'console'],
    [WINDOW, 'const read = async () => 1;', 'await'],
    [WINDOW, 'const read: Promise<number> | null = null;', 'await'],
    [TEST, 'const value: any = 1;', 'type'],
    [TEST, 'const value = 1 as any;', 'type'],
    [TEST, 'const values: Map<string, any> = new Map();', 'type'],
    [TEST, '// @ts-ignore\nconst value = 1;', 'type'],
    [JOB, 'enum Kind { A }', 'type'],
    [JOB, 'export class A {\n  private kind = 1;\n}', 'type'],
    [JOB, '// TODO: more\nconst value = 1;', 'leftover'],
    [TEST, "test.only('x', () => {});", 'leftover'],
    [TEST, "describe.skip('x', () => {});", 'leftover'],
    [TASK, "const fail = () => {\n  throw new Error('x');\n};", 'error'],
    [JOB, 'export default 5;', 'export'],
    [JOB, "export { a } from '#jobs/plan.ts';", 'export'],
    [JOB, "export * from '#jobs/plan.ts';", 'export'],
    [JOB, "register('x');", 'side-effect'],
    [JOB, 'for (const a of b) a.go();', 'side-effect'],
  ])('%s: %j is found', (path, body, rule) => {
    const offences = checkSourceFile(path, OPENING + body);
    expect(offences.map((offence) => offence.rule)).toContain(rule);
    for (const offence of offences) expect(offence.line).toBeGreaterThanOrEqual(3);
  });

  test.each([
    ['runtime/std/clock.ts', 'const now = Date.now();'],
    ['jobs/config.ts', "const home = process.env['HOME'];"],
    [JOB, 'const start = new Date(5).toISOString();'],
    [JOB, 'const many = promises.any(list);'],
    [JOB, 'const anything = { any: 1, company: 2 };'],
    [JOB, 'export class A {\n  private constructor() {}\n}'],
    [JOB, "import { defineJob } from '#jobs/define-job.ts';\nexport default defineJob({});"],
    ['jobs/main.ts', "run('x');"],
    ['jobs/millrace.ts', "export { a } from '#jobs/plan.ts';"],
    [WINDOW, "const text = 'await Date.now() console.log';\n// await Date\nconst pattern = /await|Date/;"],
    [WINDOW, `const text = \`Date \${1 + 1} await\`;`],
    [TASK, 'const ratio = 4 / 2; // Math.random\nconst half = (ratio) / 2;'],
    [TEST, "const fail = () => {\n  throw new Error('x');\n};"],
  ])('%s: %j passes', (path, body) => {
    expect(found(path, body)).toEqual([]);
  });

  test('what stands inside a template is code', () => {
    expect(found(WINDOW, `const text = \`a \${Date.parse('x')} \${\`b \${await c}\`}\`;`)).toEqual([
      '3 [clock]',
      '3 [await]',
    ]);
  });

  test('a quote in a regular expression does not hide what follows', () => {
    expect(found(TASK, 'const quote = /[\'"`]/.test(a);\nconst now = Date.now();')).toEqual(['4 [clock]']);
    expect(found(TASK, 'const ratio = a / b;\nconst now = Date.now(); // /')).toEqual(['4 [clock]']);
  });
});

describe('shape', () => {
  const longBody = (lines: number) => '  step();\n'.repeat(lines - 2);

  test('a file without its opening comment, or with too long a one, is found', () => {
    expect(checkSourceFile(JOB, 'const a = 1;\n').map(({ rule }) => rule)).toEqual(['opening']);
    expect(checkSourceFile(JOB, '\n// Late.\n').map(({ rule }) => rule)).toEqual(['opening']);
    expect(checkSourceFile(JOB, '// a\n'.repeat(6)).map(({ rule }) => rule)).toEqual(['opening']);
    expect(checkSourceFile(JOB, '// a\n'.repeat(5))).toEqual([]);
    expect(checkSourceFile(TEST, 'const a = 1;\n')).toEqual([]);
    expect(checkSourceFile('jobs/main.ts', '#!/usr/bin/env node\n// Runs.\n')).toEqual([]);
  });

  test('a file one line too long is found', () => {
    const lines = 'const a = 1;\n';
    expect(found(JOB, lines.repeat(FILE_LINES_MAX - 2))).toEqual([]);
    expect(found(JOB, lines.repeat(FILE_LINES_MAX - 1))).toEqual(['1 [size]']);
  });

  test.each([
    ['a function', 'function long(a: number): void {\n', '}\n'],
    ['an exported generic one', 'export async function long<T>(a: T): Promise<{ b: T }> {\n', '}\n'],
    ['one with a type literal', 'function long(): { readonly a: number } {\n', '}\n'],
    ['an arrow function', 'const long = (a: { b: number }) => {\n', '};\n'],
    ['a method', 'class A {\n  other() {}\n\n  async #long(a: number, b = {}): Promise<void> {\n', '}\n}\n'],
    ['a getter', 'class A {\n  get long(): number {\n', '}\n}\n'],
  ])('%s one line too long is found', (_, head, tail) => {
    const grow = head.endsWith('\n') ? 0 : 1;
    const size = (lines: number) =>
      found(JOB, head + longBody(lines + grow) + tail).filter((line) => line.includes('size'));
    expect(size(FUNCTION_LINES_MAX)).toEqual([]);
    const headLine = head.startsWith('class') ? (head.includes('other') ? 6 : 4) : 3;
    expect(size(FUNCTION_LINES_MAX + 1)).toEqual([`${headLine} [size]`]);
  });

  test('long classes, literals and blocks of tests are no functions', () => {
    const member = '  readonly a = 1;\n'.repeat(FUNCTION_LINES_MAX + 5);
    expect(found(JOB, `export class A extends B<{ c: 1 }> {\n${member}}\n`)).toEqual([]);
    expect(found(JOB, `const table = {\n${'  a: 1,\n'.repeat(FUNCTION_LINES_MAX + 5)}};\n`)).toEqual([]);
    expect(found(TEST, `test('x', () => {\n${longBody(FUNCTION_LINES_MAX + 5)}});\n`)).toEqual([]);
  });
});

describe('names and text', () => {
  const nameFaults = (path: string) => {
    const messages: string[] = [];
    checkName(path, (_, __, message) => messages.push(message));
    return messages.length;
  };

  test.each([
    'jobs/utils.ts',
    'runtime/helpers/a.ts',
    'runtime/common.ts',
    'jobs/types.ts',
    'jobs/slot-manager.ts',
    'a/misc.ts',
  ])('%s says nothing', (path) => expect(nameFaults(path)).toBe(1));

  test.each(['jobs/SlotPool.ts', 'jobs/slot_pool.ts', 'jobs/slotPool.test.ts'])('%s is not kebab-case', (path) => {
    expect(nameFaults(path)).toBe(1);
  });

  test.each([
    'jobs/slot-pool.ts',
    'jobs/README.md',
    'test/log.suite.ts',
    '.biome.json',
    '.ci/run',
    'test/golden/plans/by-label.txt',
  ])('%s is fine', (path) => expect(nameFaults(path)).toBe(0));

  test('paths of a machine, registries and foreign numbers are found', () => {
    const rooted = ['', 'root', 'x'].join('/');
    const home = ['', 'home', 'me', 'x'].join('/');
    const registry = ['https://registry', 'npmjs', 'org'].join('.');
    const number = ['issue', '12'].join(' ');
    const offences = checkText('a.md', `fine\n${rooted}\n${home}\n${registry}\n${number}\n../x/root/y\n`);
    expect(offences.map(({ line }) => line)).toEqual([2, 3, 4, 5]);
  });

  test('what does not belong at the top is found', () => {
    const names = ['runtime', 'package.json', '.ci', 'node_modules', 'data', 'src', 'Makefile'];
    expect(checkTopLevel(names).map(({ path }) => path)).toEqual(['src', 'Makefile']);
  });

  test('an address in the lock file is found', () => {
    expect(checkLockFile('package-lock.json', '{\n"resolved": "https://x/y.tgz"\n}').map(({ line }) => line)).toEqual([
      2,
    ]);
  });

  test('a table of errors that lacks, bends or invents a code is found', () => {
    const codes = {
      'a-b': { retryable: true, meaning: 'one' },
      c: { retryable: false, meaning: 'two' },
    };
    const good = '| `a-b` | yes | one |\n| `c` | no | two |\n';
    expect(checkErrorTable(good, codes)).toEqual([]);
    expect(checkErrorTable('| `a-b` | yes | one |\n', codes)).toHaveLength(1);
    expect(checkErrorTable(good.replace('| yes |', '| no |'), codes)).toHaveLength(1);
    expect(checkErrorTable(good.replace('one', 'three'), codes)).toHaveLength(1);
    expect(checkErrorTable(`${good}| \`d\` | no | three |\n`, codes).map(({ line }) => line)).toEqual([3]);
  });
});
