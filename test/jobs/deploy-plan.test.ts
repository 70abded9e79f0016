// What a deploy would do, of jobs as they are compiled: which of them hand over, which begin anew and why, what is refused.

import { describe, expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import { defineJob } from '#jobs/define-job.ts';
import { type DeployPlanOptions, planDeploy } from '#jobs/deploy-plan.ts';
import { by, samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';
import { jobVersions, versionNamed } from '#jobs/job-versions.ts';
import { configured } from '#runtime/control/desired-state.ts';

interface Choice {
  readonly topic?: string;
  readonly partitions?: number;
  readonly label?: string;
  readonly out?: string;
  readonly name?: string;
}

function side(
  { topic: from = 'raw', partitions = 4, label, out = 'out', name = 'j' }: Choice,
  version: string,
  has = 4,
) {
  const job = defineJob({
    name,
    exchangePartitions: partitions,
    source: samples({ topic: from, outOfOrderness: '0s' }),
    build: (raw) => {
      const keyed = label === undefined ? raw.keyBy(series) : raw.keyBy(by(label));
      keyed.window('1m', tumbling('1m')).aggregate(stats()).to(topic(out));
    },
  });
  return { job: compileJob(job), version, sources: { [from]: { partitionCount: has, maxMessageBytes: 0 } } };
}

const RUN = { namespace: 'n', job: 'j', run: 'live', generation: 3 };
const plan = (was: DeployPlanOptions['was'], now: DeployPlanOptions['now']) =>
  planDeploy({ was, now, run: RUN, savepoint: null, allowDroppedState: false });

describe('a deploy', () => {
  test('of what runs is none, and of what never ran the first', () => {
    expect(plan(side({}, 'v1'), side({}, 'v1'))).toMatchObject({ way: 'none', fault: null });
    expect(plan(null, side({}, 'v1'))).toMatchObject({ way: 'new', fault: null });
  });

  test('hands over where tasks and what they send are the same', () => {
    const { way, differences, reasons } = plan(side({}, 'v1'), side({ out: 'elsewhere' }, 'v2'));
    expect({ way, reasons, dropped: differences.dropped }).toEqual({ way: 'handover', reasons: [], dropped: [] });
  });

  test.each<[string, Choice, number, string]>([
    ['other partitions of an exchange', { partitions: 7 }, 4, "stage '1m' gets 7 tasks, and had 4"],
    ['a source that has grown', {}, 6, 'gets 6 tasks, and had 4'],
    ['another key', { label: 'host' }, 4, 'sends by another key, or other things'],
  ])('begins a new generation with %s, whatever the version', (_, choice, has, reason) => {
    for (const version of ['v1', 'v2']) {
      const found = plan(side({}, 'v1'), side(choice, version, has));
      expect(found.way).toBe('generation');
      expect(found.reasons.join()).toContain(reason);
    }
  });

  test('that reads another topic under the same id is refused with the remedy', () => {
    const { fault, way } = plan(side({}, 'v1'), side({ topic: 'other' }, 'v2'));
    expect(way).toBe('generation');
    expect(fault?.message).toContain("reads topic 'other', and read 'raw'");
  });
});

describe('versions', () => {
  const first = configured(undefined, {
    ...{ job: 'j', modulePath: '/a.ts', atMs: 1 },
    settings: { parallelism: 1, commitIntervalMs: 1, checkpointIntervalMs: 1 },
  });
  const told = (version: string, atMs: number) => ({ ...first, version, atMs });
  const records = [first, told('aaaa1', 2), told('aaaa1', 3), told('aaab2', 4), { ...told('zzzz9', 5), job: 'other' }];

  test('are those that it was told to be, the newest first, each since it counts', () => {
    const found = jobVersions([...records, told('aaaa1', 6)], 'j').map(({ atMs, version }) => [version, atMs]);
    expect(found).toEqual([
      ['aaaa1', 6],
      ['aaab2', 4],
      ['aaaa1', 2],
    ]);
  });

  test('are named by how they begin, when that names one', () => {
    const versions = jobVersions(records, 'j');
    expect(versionNamed(versions, 'j', 'aaab').version).toBe('aaab2');
    expect(versionNamed(jobVersions([...records, told('aaaa1', 6)], 'j'), 'j', 'aaaa').atMs).toBe(6);
    for (const name of ['aaa', 'aaaa2', '']) {
      expect(() => versionNamed(versions, 'j', name)).toThrowError(
        expect.objectContaining({ code: 'version-unknown' }),
      );
    }
    const two = jobVersions([...records, told('aaaac', 7)], 'j');
    expect(() => versionNamed(two, 'j', 'aaaa')).toThrowError(/more than one/);
  });
});
