// What was lost or changed while the process was stopped: it says so with a remedy, ends, and publishes nothing again.

import { cp, rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LogAdmin } from '#runtime/log/contract.ts';
import { Installation } from './process-harness.ts';
import { refusalOf } from './refusal.ts';
import {
  copyOf,
  INTERNAL,
  OPTIONS,
  PARTITIONS,
  publishedEnds,
  SOURCE,
  workedInstallation,
} from './refusals-embedded-world.ts';
import { withLog } from './rollups-embedded-log.ts';

let worked: Installation;

beforeAll(async () => {
  worked = await workedInstallation();
});
afterAll(() => worked?.remove());

interface Loss {
  readonly what: string;
  readonly inLog?: (admin: LogAdmin) => Promise<void>;
  readonly onDisk?: (installation: Installation) => Promise<void>;
  readonly says: RegExp;
  readonly remedy: RegExp;
}

const LOSSES: readonly Loss[] = [
  {
    what: 'a commit log deleted',
    inLog: (admin) => admin.deleteTopics([`${INTERNAL}.commits.1m`]),
    says: /job rollups ran before, but its internal topic '__millrace\.rollups\.live\.0\.commits\.1m' is gone/,
    remedy: /restore topic '__millrace\.rollups\.live\.0\.commits\.1m' from a backup; to begin anew/,
  },
  {
    what: 'a commit log deleted and created again',
    inLog: (admin) => recreate(admin, `${INTERNAL}.commits.samples`),
    says: /'__millrace\.rollups\.live\.0\.commits\.samples' was deleted and created again: nothing proves/,
    remedy: /restore topic .* to begin anew/,
  },
  {
    what: 'the exchange deleted',
    inLog: (admin) => admin.deleteTopics([`${INTERNAL}.exchange.1m`]),
    says: /internal topic '__millrace\.rollups\.live\.0\.exchange\.1m' is gone/,
    remedy: /restore topic .* to begin anew/,
  },
  {
    what: 'the control topic deleted',
    inLog: (admin) => admin.deleteTopics(['__millrace.control']),
    says: /job rollups has checkpoints, but control topic '__millrace\.control' does not know that it ever ran/,
    remedy: /restore topic '__millrace\.control' from a backup/,
  },
  {
    what: 'the whole checkpoint store lost',
    onDisk: ({ checkpointsDirectory }) => rm(checkpointsDirectory, { recursive: true }),
    says: /'millrace' of this log belongs to installation \w+, but the checkpoint store \/.*\/data\/checkpoints has none/,
    remedy: /give the process the checkpoint store it ran with/,
  },
  {
    what: "another installation's checkpoint store",
    onDisk: takeStoreOfAnother,
    says: /belongs to installation \w+, but the checkpoint store \/.*\/data\/checkpoints is that of \w+/,
    remedy: /give the process the checkpoint store it ran with; a second installation needs another namespace/,
  },
  {
    what: 'the source deleted',
    inLog: (admin) => admin.deleteTopics([SOURCE]),
    says: /job rollups: source topic 'metrics\.raw' is gone/,
    remedy: /restore it with its records and offsets; to begin anew/,
  },
  {
    what: 'the source deleted and created again',
    inLog: (admin) => recreate(admin, SOURCE),
    says: /job rollups: source topic 'metrics\.raw' was deleted and created again \(id \S+, now \S+\)/,
    remedy: /its old offsets mean nothing in the new topic; to begin anew/,
  },
  {
    what: 'partitions added to the source',
    inLog: (admin) => admin.createPartitions(SOURCE, PARTITIONS + 1),
    says: /job rollups: source topic 'metrics\.raw' had 2 partitions when the job began and has 3/,
    remedy: /its keys have moved between partitions, and no record of the new ones was read; to begin anew/,
  },
];

test.each(LOSSES)(
  '$what: the process stops with a remedy and publishes nothing',
  async (loss) => {
    const installation = await copyOf(worked);
    try {
      await loss.onDisk?.(installation);
      const before = await withLog(installation, async (client) => {
        await loss.inLog?.(client.admin);
        return publishedEnds(client);
      });
      expect(before['metrics.rollup.1m']).toMatch(/[1-9]/);
      // The second time too: a refusal repairs nothing by halves.
      for (let start = 0; start < 2; start++) {
        const refusal = await refusalOf(installation.start());
        expect(refusal).toMatchObject({ code: 1, stack: [], what: [expect.stringMatching(loss.says)] });
        expect(refusal.remedies).toEqual([expect.stringMatching(loss.remedy)]);
      }
      expect(await withLog(installation, publishedEnds)).toEqual(before);
    } finally {
      await installation.remove();
    }
  },
  60_000,
);

async function recreate(admin: LogAdmin, topic: string): Promise<void> {
  await admin.deleteTopics([topic]);
  await admin.createTopics([{ topic, partitionCount: PARTITIONS }]);
}

async function takeStoreOfAnother({ checkpointsDirectory }: Installation): Promise<void> {
  const other = await Installation.create(OPTIONS);
  await withLog(other, ({ admin }) => admin.createTopics([{ topic: SOURCE, partitionCount: PARTITIONS }]));
  const owner = other.start();
  await owner.waitForLine(/installation claimed/, 120_000);
  await owner.stop();
  await rm(checkpointsDirectory, { recursive: true });
  await cp(other.checkpointsDirectory, checkpointsDirectory, { recursive: true });
  await other.remove();
}
