// A disk that gets full under `npm start`, on a real small file system: what writes waits and goes on when there is
// room again; a process killed meanwhile starts only then. Nothing is lost or there twice.

import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { fillDisk, mountSmallDisk, unmountSmallDisk } from '#test/harness/small-disk.ts';
import { judgeRows } from './generated-rows.ts';
import { until } from './oracle/until.ts';
import { Installation, Product } from './process-harness.ts';
import { waitForGrowth, withLog } from './rollups-embedded-log.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const OWN_MOUNTS = 'MILLRACE_TEST_OWN_MOUNTS';
const DISK_MIB = 96;
/** Of the log, for some thousand samples. */
const WORK_BYTES = 500_000;
const ROWS = /^1m {2}\d{4}-\d\d-\d\d \d\d:\d\d:00 {2}\d+ rows$/;

test('a full disk pauses everything, and with room again it goes on', async () => {
  const installation = await Installation.create({ jobs: { rollups: { module: 'jobs/rollups.ts' } } });
  const config = `${installation.directory}/jobs.config.ts`;
  const start = () => new Product(['jobs/main.ts', 'start', '--config', config], { LOG_LEVEL: 'info' });
  const disk = join(installation.directory, 'data');
  const ballast = join(disk, 'ballast');
  mkdirSync(disk);
  if (!mountSmallDisk(disk, DISK_MIB)) {
    await installation.remove();
    runWithOwnMounts();
    return;
  }
  const products: Product[] = [];
  try {
    const first = start();
    products.push(first);
    await first.waitForLine(ROWS, 120_000);
    fillDisk(ballast);
    const told = JSON.parse(await first.waitForLine(/the disk of the log is full/, 60_000));
    expect(told).toMatchObject({ level: 'error', remedy: expect.stringContaining('make room') });
    expect(first.running).toBe(true);
    expect(await readiness(first)).toMatchObject({
      status: 503,
      jobs: [
        {
          job: 'rollups',
          state: 'PAUSED',
          reason: expect.stringContaining('disk'),
          remedy: expect.stringContaining('make room'),
        },
      ],
    });
    rmSync(ballast);
    await first.waitForLine(/has room again/, 60_000);
    await until(async () => (await readiness(first)).status === 200, 'the job to be ready again', 60_000);
    await waitForGrowth(first, installation, WORK_BYTES);

    const toldOnce = first.lines.length;
    fillDisk(ballast);
    const isFull = (line: string) => line.includes('the disk of the log is full');
    await until(() => first.lines.slice(toldOnce).some(isFull), 'the disk to be full again', 60_000);
    await first.kill();
    const onFullDisk = start();
    products.push(onFullDisk);
    expect(await onFullDisk.exited).toEqual({ code: 1, signal: null });
    expect(onFullDisk.tail()).toMatch(/no space left.*\n.*remedy: make room on the disk/);

    rmSync(ballast);
    const last = start();
    products.push(last);
    await waitForGrowth(last, installation, WORK_BYTES);
    expect(await last.stop()).toEqual({ code: 0, signal: null });
    expect(await withLog(installation, judgeRows)).toBeGreaterThan(100);
  } finally {
    await Promise.all(products.map((product) => product.kill()));
    unmountSmallDisk(disk);
    await installation.remove();
  }
}, 400_000);

async function readiness(product: Product) {
  const url = /http:[\w./:]+/.exec(product.lines.find((line) => line.includes('the admin API answers')) ?? '')?.[0];
  const answer = await fetch(`${url}/readyz`);
  return { status: answer.status, jobs: ((await answer.json()) as { jobs: unknown }).jobs };
}

/** A user who is not root may mount in a namespace of their own: the same test runs again in one. */
function runWithOwnMounts(): void {
  const needed = 'the test of a full disk needs a Linux that lets its user mount a tmpfs: as root, or by unshare -rm';
  expect(process.env[OWN_MOUNTS], needed).toBeUndefined();
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST'));
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const words = [process.execPath, vitest, 'run', '--config', 'test/vitest.config.ts', import.meta.filename];
  const { status, stderr, stdout } = spawnSync('unshare', ['-rm', ...words], {
    cwd: ROOT,
    env: { ...Object.fromEntries(kept), [OWN_MOUNTS]: '1' },
    encoding: 'utf8',
  });
  expect(status, `${needed}\n${stdout}\n${stderr}`).toBe(0);
}
