// What the end-to-end figure rests on: manifests read right, CPU time of a child counted, medians.

import { expect, test } from 'vitest';
import { runMeasured } from './child-usage.ts';
import { median } from './figure.ts';
import { readPairs } from './peers/peer-build.ts';

test('reads the numbers of a manifest and of a line', () => {
  expect(readPairs('samples=1200000\nsum=5.985E7\nmin=-0.5\n')).toEqual(
    new Map([
      ['samples', 1200000],
      ['sum', 5.985e7],
      ['min', -0.5],
    ]),
  );
  expect(readPairs('RESULT peer=flink-heap rows=200000 cpu_s=17.52 java=17.0.15')).toEqual(
    new Map([
      ['rows', 200000],
      ['cpu_s', 17.52],
    ]),
  );
});

test('the median of an even number of runs lies between the middle two', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test.runIf(process.platform === 'linux')('counts the CPU time of a child, and no more than there was', async () => {
  const busy = 'const end = Date.now() + 600; while (Date.now() < end);';
  const started = performance.now();
  const { usage } = await runMeasured(process.execPath, ['-e', busy]);
  expect(usage.cpuSeconds).toBeGreaterThan(0.05);
  expect(usage.cpuSeconds).toBeLessThan(((performance.now() - started) / 1000) * 8);
  expect(usage.peakRssMiB).toBeGreaterThan(10);
});

test('a child that fails is an error with the end of what it said', async () => {
  const failing = 'console.error("this went wrong"); process.exit(3)';
  await expect(runMeasured(process.execPath, ['-e', failing])).rejects.toThrow(/ended with 3:\nthis went wrong/);
});
