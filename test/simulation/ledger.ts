// Owns what the logs of a finished run hold of one generation of the job: the chains of its tasks, and what those brought.
// Judges but that each chain is one.

import { describeTopics, type TopicNeed } from '#jobs/topics.ts';
import type { Generation } from '#test/simulation/generation.ts';
import { codeOf } from '#test/simulation/generation.ts';
import type { Installation } from '#test/simulation/installation.ts';
import { type ArchivedRecord, committedRecords } from '#test/simulation/oracle/archive.ts';
import { type CommittedEntry, readChain } from '#test/simulation/oracle/commit-chain.ts';
import { type EntryOf, entriesByTransaction } from '#test/simulation/oracle/placement.ts';
import type { TaskEvidence, TaskOriginEvidence } from '#test/simulation/workloads/contract.ts';

/** What tasks write beside their commit logs. */
const WRITTEN = new Set<TopicNeed['use']>(['output', 'late', 'dead-letter', 'exchange']);

export class Ledger {
  readonly generation: Generation;
  /** What it began with; null: nothing. */
  readonly before: Ledger | null;
  readonly chains = new Map<string, readonly CommittedEntry[]>();
  readonly entryOf: EntryOf;
  readonly tasks: readonly TaskEvidence[];
  /** Committed records by topic, all that are there of those that its tasks write. */
  readonly written = new Map<string, readonly ArchivedRecord[]>();
  readonly exchanges = new Set<string>();
  /** Partitions of its topics, as they were when it began. */
  readonly counts: Record<string, number> = {};

  /** @param older ledgers of the generations before it */
  constructor(installation: Installation, generation: Generation, older: readonly Ledger[]) {
    const { sources, world } = installation;
    const { origin, run, tasks } = generation;
    this.generation = generation;
    this.before = origin === null ? null : older[origin.savepoint.generation];
    for (const [name, { plan }] of tasks) {
      this.chains.set(name, readChain(committedRecords(world, plan.commitTopic, plan.identity.partition), name));
    }
    this.entryOf = entriesByTransaction(this.chains);
    const ran = [...this.chains.values()].flatMap((chain) => chain.map(({ version }) => version));
    const versions = new Map(
      [...ran, ...[...tasks.values()].map(({ plan }) => plan.version)].map((one) => [codeOf(one), one]),
    );
    const jobs = Array.from(versions.values(), (version) => installation.jobOf(version));
    for (const { partitionCount, topic, use } of jobs.flatMap(({ plan }) => describeTopics(plan, run, sources))) {
      if (this.counts[topic] !== undefined) continue;
      this.counts[topic] = partitionCount;
      if (!WRITTEN.has(use)) continue;
      if (use === 'exchange') this.exchanges.add(topic);
      const { partitions } = world.cluster.originals.get(topic)!;
      const records = partitions.flatMap(({ partition }) => committedRecords(world, topic, partition));
      this.written.set(topic, records);
    }
    this.tasks = [...tasks].map(([name, { plan: one }]): TaskEvidence => {
      const { topic, partition } = one.input;
      const input = committedRecords(world, topic, partition);
      return { name, plan: one, chain: this.chains.get(name)!, input, origin: this.#originOf(one.identity) };
    });
  }

  /** What its tasks brought to a topic. */
  output(topic: string): readonly ArchivedRecord[] {
    return (this.written.get(topic) ?? []).filter(({ transaction }) => this.entryOf.has(String(transaction)));
  }

  /** What was brought to a topic by those whose state its tasks have: each as far as the state went, and by its tasks. */
  lineage(topic: string): readonly ArchivedRecord[] {
    return [...this.#inherited(topic), ...this.output(topic)];
  }

  #inherited(topic: string): readonly ArchivedRecord[] {
    const { before, generation } = this;
    if (before === null) return [];
    const cuts = new Map(generation.origin!.savepoint.tasks.map((one) => [`${one.stage}/${one.partition}`, one.entry]));
    const own = (record: ArchivedRecord) => {
      const entry = before.entryOf.get(String(record.transaction));
      return entry === undefined || entry.number <= cuts.get(entry.task)!;
    };
    return before.lineage(topic).filter(own);
  }

  /** Until which entry the versions of a task do the same to state as the first of them. */
  sameUntil(name: string): number {
    const chain = this.chains.get(name)!;
    const at = chain.findIndex(({ version }) => codeOf(version) !== codeOf(chain[0].version));
    return at < 0 ? Number.POSITIVE_INFINITY : at;
  }

  #originOf({ partition, stage }: { readonly stage: string; readonly partition: number }): TaskOriginEvidence | null {
    const { before, generation } = this;
    const origin = generation.origin?.originOf(stage, partition) ?? null;
    if (origin === null || before === null) return null;
    const parts = origin.parts.map(({ checkpoint: { entry }, identity }) => {
      const task = before.tasks.find((one) => one.name === `${identity.stage}/${identity.partition}`)!;
      return { task, entry };
    });
    return { parts, partitions: origin.partitions, partition, output: (topic) => this.#inherited(topic) };
  }
}
