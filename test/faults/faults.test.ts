// The short form of `npm run test:faults`, as a process of its own: every kind of fault once under load, nothing lost,
// nothing doubled. MILLRACE_TEST_SEED repeats a schedule.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import type { FaultKind } from './schedule.ts';
import { FAULT_KINDS } from './schedule.ts';

const SEED = process.env['MILLRACE_TEST_SEED'] ?? '20260301';
const KILLS = 3;

interface Report {
  readonly failures: readonly string[];
  readonly leftOut: readonly FaultKind[];
  readonly lost: number;
  readonly doubled: number;
  readonly rows: number;
  readonly kinds: readonly { readonly kind: FaultKind; readonly faults: number; readonly maxMs: number | null }[];
}

test('every kind of fault under load, and no row is lost or there twice', async () => {
  const main = new URL('./main.ts', import.meta.url).pathname;
  const words = [main, '--kills', `${KILLS}`, '--seed', SEED, '--json'];
  // With a group of its own: what it started ends with it, however this test ends.
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const killAll = () => process.kill(-(child.pid ?? Number.NaN), 'SIGKILL');
  process.once('exit', killAll);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  process.off('exit', killAll);
  expect(stdout, stderr).not.toBe('');
  const report = JSON.parse(stdout) as Report;
  expect(report.failures, `${stderr}\n${stdout}`).toEqual([]);
  expect(code, stderr).toBe(0);
  expect(report).toMatchObject({ lost: 0, doubled: 0 });
  expect(report.rows).toBeGreaterThan(1000);
  const happened = report.kinds.map(({ kind }) => kind);
  expect([...happened, ...report.leftOut].toSorted()).toEqual([...FAULT_KINDS].toSorted());
  expect(report.kinds.filter(({ maxMs }) => maxMs === null)).toEqual([]);
}, 900_000);
