// A topic that the job began with is deleted and created again, under running tasks or while nobody runs: those that read
// it, or have their commit log in it, end and say so, and publish nothing more.

import { expect, test } from 'vitest';
import { Coverage } from '#test/simulation/coverage.ts';
import { Installation } from '#test/simulation/installation.ts';
import type { Instance } from '#test/simulation/instance.ts';
import { committedIn } from '#test/simulation/oracle/archive.ts';
import { drawScenario, type Scenario } from '#test/simulation/scenario.ts';
import { NO_DISK_FAULTS } from '#test/simulation/world/disk.ts';
import { NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { World } from '#test/simulation/world/world.ts';

function exchangeScenarios(count: number): Scenario[] {
  const found: Scenario[] = [];
  for (let seed = 1; found.length < count; seed++) {
    const scenario = { ...drawScenario(seed), faults: NO_FAULTS, diskFaults: NO_DISK_FAULTS };
    if (scenario.workload.shape === 'exchange') found.push(scenario);
  }
  return found;
}

async function worked(scenario: Scenario): Promise<{ world: World; installation: Installation; first: Instance }> {
  const world = new World({ seed: scenario.seed, faults: NO_FAULTS, diskFaults: NO_DISK_FAULTS });
  const installation = new Installation(world, scenario, new Coverage(), null);
  installation.createTopics(world.random);
  installation.begin(world.random.fork()).feed.schedule();
  const first = installation.launch();
  await world.pass(6_000);
  return { world, installation, first };
}

function recreate(world: World, topic: string): void {
  const { partitions } = world.cluster.topics.get(topic)!;
  world.cluster.deleteTopics([topic]);
  world.cluster.createTopics([{ topic, partitionCount: partitions.length }]);
}

/** Entries of each task whose input or commit log the topic is. */
function entriesOf({ world, installation }: { world: World; installation: Installation }, topic: string) {
  const plans = installation.plans('v1').filter(({ commitTopic, input }) => [commitTopic, input.topic].includes(topic));
  const { cluster } = world;
  return new Map(
    plans.map(({ commitTopic, identity: { partition, stage } }) => {
      const stored = cluster.partition({ topic: commitTopic, partition });
      return [`${stage}/${partition}`, stored === null ? 0 : committedIn(stored).length];
    }),
  );
}

for (const use of ['source', 'exchange', 'commits of the source', 'commits behind the exchange'] as const) {
  for (const running of [false, true]) {
    // Under running tasks a commit log is watched by the process (every few seconds), not by the tasks.
    if (running && use.startsWith('commits')) continue;
    test(`${use}, ${running ? 'under running tasks' : 'while nobody runs'}`, async () => {
      for (const scenario of exchangeScenarios(3)) {
        const scene = await worked(scenario);
        const { world, installation, first } = scene;
        const [source] = installation.plans('v1');
        const behind = installation.plans('v1').at(-1)!;
        const topic = {
          source: source.input.topic,
          exchange: behind.input.topic,
          'commits of the source': source.commitTopic,
          'commits behind the exchange': behind.commitTopic,
        }[use];
        const entries = [...entriesOf(scene, topic).values()];
        expect(Math.min(...entries), 'it had worked').toBeGreaterThan(0);
        installation.mayEnd.add('topic-recreated');
        if (!running) first.kill();
        recreate(world, topic);
        const instance = running ? first : installation.launch();
        if (running) await world.pass(15_000);
        const before = entriesOf(scene, topic);
        await world.pass(30_000);
        for (const task of before.keys()) {
          const outcome = instance.outcomes.get(task);
          expect(outcome, `${task} of seed ${scenario.seed}`).toMatchObject({
            kind: 'failed',
            failure: { code: 'topic-recreated', message: expect.stringContaining(topic) },
          });
        }
        expect(entriesOf(scene, topic), 'nothing is published again').toEqual(before);
      }
    });
  }
}
