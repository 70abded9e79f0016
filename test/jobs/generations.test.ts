// What cannot go on from a savepoint is refused with all its faults before anything stops, and what can is given the parts
// that hold its keys.

import { describe, expect, test } from 'vitest';
import type { Savepoint } from '#checkpoint/savepoint.ts';
import { compileJob } from '#jobs/compile.ts';
import { generationTasks, planGeneration } from '#jobs/generations.ts';
import { defineJob, integer, type JobDefinition, json, records, topic, valueState } from '#jobs/millrace.ts';
import { savedStates, stateShapes } from '#jobs/state-shapes.ts';
import { stageTaskCount } from '#jobs/topics.ts';

interface Options {
  readonly name?: string;
  readonly topic?: string;
  readonly partitionedBy?: 'producer';
  readonly exchangePartitions?: number;
  readonly operator?: string;
  readonly other?: boolean;
}

function job({ name = 'steps', topic: from = 'web', operator = 'count', ...more }: Options = {}): JobDefinition {
  const { partitionedBy, exchangePartitions, other } = more;
  return defineJob({
    name,
    exchangePartitions,
    source: records<{ user: string }>({ topic: from, id: 'web', partitionedBy }),
    build: (web) => {
      const keyed = web.keyBy('by-user', ({ user }) => user);
      const codec = other ? json<number>() : integer();
      keyed.process(operator, { state: { seen: valueState(codec) }, process() {} }).to(topic('out'));
    },
  });
}

const run = (generation: number) => ({ namespace: 'n', job: 'steps', run: 'live', generation });

function sourcesOf(partitionCount: number, name = 'web') {
  return { [name]: { partitionCount, maxMessageBytes: 1_000_000 } };
}

/** A savepoint of a job, made up. */
function savepointOf(definition: JobDefinition, partitions: number): Savepoint {
  const { plan } = compileJob(definition);
  const sources = sourcesOf(partitions);
  const { stages } = savedStates(plan, stateShapes(compileJob(definition), run(3), sources));
  const tasks = plan.stages.flatMap((stage) =>
    Array.from({ length: stageTaskCount(plan, stage, sources) }, (_, partition) => ({
      ...{ stage: stage.id, partition, manifest: `m-${stage.id}-${partition}`, entry: 7, chainHash: 'c', digest: 'd' },
      ...{ sizeBytes: 1, inputs: [], watermarkMs: partition * 10, clockMs: 1 },
      schemaVersions: stages.find((one) => one.stage === stage.id)?.schemaVersions ?? {},
    })),
  );
  return { id: 's1', ...run(3), version: 'v1', createdMs: 1, plan: JSON.parse(JSON.stringify(plan)), tasks };
}

function planned(was: JobDefinition, now: JobDefinition, sources = sourcesOf(2), droppedState = false) {
  const savepoint = savepointOf(was, 2);
  return planGeneration({ savepoint, job: compileJob(now), run: run(4), sources, allowed: { droppedState } });
}

describe('a new generation', () => {
  test('spreads an exchange over another number of tasks, and leaves sources where they were', () => {
    const plan = planned(job({ exchangePartitions: 3 }), job({ exchangePartitions: 5 }), sourcesOf(4));
    expect(plan.fault).toBeNull();
    for (let partition = 0; partition < 5; partition++) {
      const origin = plan.originOf('count', partition);
      expect(origin).toMatchObject({ savepoint: 's1', partitions: 5 });
      expect(origin?.parts.map(({ identity }) => [identity.generation, identity.partition])).toEqual([
        [3, 0],
        [3, 1],
        [3, 2],
      ]);
    }
    expect(plan.originOf('web', 1)?.parts.map(({ checkpoint }) => checkpoint.name)).toEqual(['m-web-1']);
    expect(plan.originOf('web', 3)).toEqual({ savepoint: 's1', parts: [], partitions: null });
  });

  test('begins stages that are new with nothing', () => {
    const plan = planned(job(), job({ operator: 'tally' }), sourcesOf(2), true);
    expect(plan.fault).toBeNull();
    expect(plan.originOf('tally', 0)).toBeNull();
  });

  const refused: readonly (readonly [
    string,
    JobDefinition,
    JobDefinition,
    Record<string, { partitionCount: number; maxMessageBytes: number }>,
    string,
  ])[] = [
    ['of another job', job({ name: 'others' }), job(), sourcesOf(2), 'cannot take over the state of job others'],
    [
      'that would drop state',
      job(),
      job({ operator: 'tally' }),
      sourcesOf(2),
      "count: state 'count/seen' would be dropped",
    ],
    ['with another schema', job(), job({ other: true }), sourcesOf(2), 'and no migration'],
    ['whose source lost partitions', job(), job(), sourcesOf(1), "topic 'web' has 1 partitions and had 2"],
    [
      'that reads another topic',
      job(),
      job({ topic: 'app' }),
      sourcesOf(2, 'app'),
      "reads topic 'app', and read 'web'",
    ],
    [
      'whose source grew under state that is kept by its partitions',
      job({ partitionedBy: 'producer' }),
      job({ partitionedBy: 'producer' }),
      sourcesOf(3),
      'has grown from 2 to 3 partitions, and count keep state by the partitions of their source',
    ],
    [
      'that exchanges now and did not',
      job({ partitionedBy: 'producer' }),
      job(),
      sourcesOf(2),
      "stage 'count' reads an exchange now and read its source",
    ],
  ];

  test.each(refused)('%s is refused', (_, was, now, sources, message) => {
    const { fault } = planned(was, now, sources);
    expect(fault?.code).toBe('version-mismatch');
    expect(fault?.message).toContain(message);
    expect(fault?.remedy).not.toBe('');
  });

  test('lists every fault', () => {
    const { fault } = planned(job(), job({ other: true, topic: 'app' }), sourcesOf(2, 'app'));
    expect(fault?.message).toContain('and no migration');
    expect(fault?.message).toContain("reads topic 'app'");
  });

  test('shuts out every task of the one before, with all that it may have written', () => {
    const tasks = generationTasks(compileJob(job({ exchangePartitions: 3 })).plan, run(3), sourcesOf(2));
    expect(tasks.map(({ identity }) => `${identity.generation} ${identity.stage}/${identity.partition}`)).toEqual([
      '3 web/0',
      '3 web/1',
      '3 count/0',
      '3 count/1',
      '3 count/2',
    ]);
    expect(tasks[0].commitTopic).toBe('__n.steps.live.3.commits.web');
    expect(tasks[0].topics).toContain('__n.steps.live.3.exchange.count');
    expect(tasks[4].topics).toContain('out');
  });
});
