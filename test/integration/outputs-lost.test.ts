// Output topics that somebody deleted: the job goes on, and what is lost is said once, with what to do about it.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Installation, Product } from './process-harness.ts';
import { copyOf, PARTITIONS, publishedEnds, workedInstallation } from './refusals-embedded-world.ts';
import { finishWork, withLog } from './rollups-embedded-log.ts';

const DELETED = 'metrics.rollup.1m';
const RECREATED = 'metrics.rollup.5m';

let worked: Installation;

beforeAll(async () => {
  worked = await workedInstallation();
});
afterAll(() => worked?.remove());

function warnings({ lines }: Product): { code: string; msg: string; remedy: string }[] {
  return lines.filter((line) => line.includes('output topic')).map((line) => JSON.parse(line));
}

test('an output topic deleted while stopped is created again, and what is lost is told once', async () => {
  const installation = await copyOf(worked);
  try {
    await withLog(installation, async ({ admin }) => {
      await admin.deleteTopics([DELETED, RECREATED]);
      await admin.createTopics([{ topic: RECREATED, partitionCount: PARTITIONS }]);
    });
    const first = installation.start();
    await finishWork(first, installation);
    expect(warnings(first)).toMatchObject([
      {
        code: 'topic-unknown',
        msg: expect.stringMatching(`output topic '${DELETED}' is gone: .* not published again`),
      },
      {
        code: 'topic-recreated',
        msg: expect.stringMatching(`output topic '${RECREATED}' was deleted and created again .* not published again`),
      },
    ]);
    for (const { remedy } of warnings(first)) expect(remedy).toMatch(/restore it from a backup; to begin anew/);
    const ends = await withLog(installation, publishedEnds);
    expect(ends[DELETED]).toMatch(/[1-9]/);
    const second = installation.start();
    await second.waitForLine(/installation claimed/, 120_000);
    await second.stop();
    expect(warnings(second)).toEqual([]);
  } finally {
    await installation.remove();
  }
}, 90_000);
