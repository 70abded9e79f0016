// `npm start` as a newcomer runs it: rows appear, Ctrl-C ends it with a checkpoint of every task, and the next start goes
// on where it stopped, with every generated sample in one row.

import { expect, test } from 'vitest';
import { judgeRows } from './generated-rows.ts';
import { Installation, Product } from './process-harness.ts';
import { withLog } from './rollups-embedded-log.ts';

const ROWS = /^1m {2}\d{4}-\d\d-\d\d \d\d:\d\d:00 {2}\d+ rows$/;
/** The source gets four partitions, and the exchange as many. */
const TASKS = ['samples', '1m'].flatMap((stage) => [0, 1, 2, 3].map((partition) => `${stage}/${partition}`));

test('rows appear, Ctrl-C ends with checkpoints, and the next start goes on where it stopped', async () => {
  const installation = await Installation.create({ jobs: { rollups: { module: 'jobs/rollups.ts' } } });
  const config = `${installation.directory}/jobs.config.ts`;
  const start = () => new Product(['jobs/main.ts', 'start', '--config', config], { LOG_LEVEL: 'debug' });
  const first = start();
  let second: Product | null = null;
  try {
    await first.waitForLine(ROWS, 120_000);
    // npm and a terminal both pass Ctrl-C on: twice at once is one wish.
    first.signal('SIGINT');
    expect(await first.stop()).toEqual({ code: 0, signal: null });
    expect(await withLog(installation, judgeRows), 'of five minutes made up').toBeGreaterThan(100);
    second = start();
    for (const task of TASKS) {
      const line = await second.waitForLine(new RegExp(`"task":"rollups/${task}".*restored`), 120_000);
      const { entry, last } = JSON.parse(line);
      expect(`${task} at ${entry}`, 'nothing is left to replay').toBe(`${task} at ${last}`);
    }
    expect(await second.stop()).toEqual({ code: 0, signal: null });
    await withLog(installation, judgeRows);
  } finally {
    await first.kill();
    await second?.kill();
    await installation.remove();
  }
}, 120_000);

/** As a Node that is too old to run Millrace: the one that belongs to it is started instead. */
const OLD_NODE =
  "data:text/javascript,Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.19.0' } })";

test.each(['SIGINT', 'SIGTERM'] as const)(
  'started by an old Node, %s ends the Node that runs it with a checkpoint',
  async (signal) => {
    const installation = await Installation.create({ jobs: { rollups: { module: 'jobs/rollups.ts' } } });
    const config = `${installation.directory}/jobs.config.ts`;
    const args = ['--import', OLD_NODE, 'jobs/launch-main.ts', 'start', '--config', config];
    const product = new Product(args, { LOG_LEVEL: 'info' });
    try {
      await product.waitForLine(ROWS, 120_000);
      product.signal(signal);
      expect(await product.exited).toEqual({ code: 0, signal: null });
      expect(product.tail()).toMatch(/millrace: stopping/);
      expect(await withLog(installation, judgeRows), 'the log is free').toBeGreaterThan(100);
    } finally {
      await product.kill();
      await installation.remove();
    }
  },
  120_000,
);
