// Owns the names and shapes of the topics a job needs. A pure list: the control code creates what is missing.
// Invariant: names depend on namespace, job, run, generation and stage only.

import { type Plan, type StagePlan, sourceOf, writesLate, writesOutside } from '#jobs/plan.ts';
import { invariant } from '#runtime/std/errors.ts';

/** One execution of a job. */
export interface RunIdentity {
  readonly namespace: string;
  readonly job: string;
  /** 'live', or the ULID of a backfill. */
  readonly run: string;
  readonly generation: number;
}

/** What is known of a source topic when the other topics are made. */
export interface SourceTopic {
  readonly partitionCount: number;
  readonly maxMessageBytes: number;
}

/** By the name of the topic. */
export type SourceTopics = Readonly<Record<string, SourceTopic>>;

export interface TopicNeed {
  readonly topic: string;
  readonly use: 'source' | 'output' | 'late' | 'dead-letter' | 'exchange' | 'commits';
  readonly partitionCount: number;
  /** Topic configuration to create it with; the control code adds replication. */
  readonly config: Readonly<Record<string, string>>;
  /** Whether a missing topic is made. A missing source is an error, unless the installation writes it itself. */
  readonly create: boolean;
  /** Whether another partition count than this stops the job. */
  readonly exact: boolean;
}

/** Room for the headers that late and dead-letter records carry beside the record. */
const HEADERS_BYTES_MAX = 64 * 1024;

/**
 * Record timestamps are event times, and a Kafka judges by them: with its usual retention a row of last month would be
 * removed as soon as it is written, and one an hour ahead is refused. So what is made here keeps everything until its
 * owner says otherwise, and takes any time.
 */
const EVENT_TIMES = { 'retention.ms': '-1', 'message.timestamp.after.max.ms': '9223372036854775807' };

/** Only we remove records of internal topics: a Kafka that bounds every topic in bytes would cut commit logs. */
const INTERNAL_CONFIG = { ...EVENT_TIMES, 'retention.bytes': '-1', 'cleanup.policy': 'delete' };

export function commitTopic(run: RunIdentity, stageId: string): string {
  return `${prefix(run)}.commits.${stageId}`;
}

/** The topic between a stage and the one before; named after the stage that reads it. */
export function exchangeTopic(run: RunIdentity, stageId: string): string {
  return `${prefix(run)}.exchange.${stageId}`;
}

export function inputTopic(plan: Plan, run: RunIdentity, stage: StagePlan): string {
  return stage.input.kind === 'source' ? sourceOf(plan, stage).topic : exchangeTopic(run, stage.id);
}

/** Number of tasks of a stage. */
export function stageTaskCount(plan: Plan, stage: StagePlan, sources: SourceTopics): number {
  return stage.partitions ?? sourceTopicOf(plan, stage, sources).partitionCount;
}

function sourceTopicOf(plan: Plan, stage: StagePlan, sources: SourceTopics): SourceTopic {
  const { topic } = sourceOf(plan, stage);
  const source = sources[topic];
  invariant(source !== undefined, `nothing is known of source topic '${topic}'`);
  return source;
}

/** Every topic of the job, each once, in the order of the dataflow. */
export function describeTopics(plan: Plan, run: RunIdentity, sources: SourceTopics): TopicNeed[] {
  const needs = new Map<string, TopicNeed>();
  const add = (need: TopicNeed) => {
    if (!needs.has(need.topic)) needs.set(need.topic, need);
  };
  for (const { topic } of plan.sources) {
    const { partitionCount } = sources[topic];
    add({ topic, use: 'source', partitionCount, config: {}, create: false, exact: true });
  }
  for (const stage of plan.stages) {
    const source = sourceTopicOf(plan, stage, sources);
    const partitionCount = stageTaskCount(plan, stage, sources);
    if (stage.input.kind === 'exchange') {
      const topic = exchangeTopic(run, stage.id);
      const config = { ...INTERNAL_CONFIG, ...besideConfig(source) };
      add({ topic, use: 'exchange', partitionCount, config, create: true, exact: true });
    }
    const topic = commitTopic(run, stage.id);
    add({ topic, use: 'commits', partitionCount, config: INTERNAL_CONFIG, create: true, exact: true });
    for (const step of stage.steps) {
      if (step.kind !== 'topic') continue;
      const outputPartitions = step.partitions ?? source.partitionCount;
      const shape = { partitionCount: outputPartitions, config: EVENT_TIMES, create: true, exact: false };
      add({ topic: step.topic, use: 'output', ...shape });
    }
  }
  for (const source of plan.sources) {
    const { deadLetterTopic, topic } = source;
    const { partitionCount } = sources[topic];
    const config = { ...EVENT_TIMES, ...besideConfig(sources[topic]) };
    const shape = { partitionCount, config, create: true, exact: false };
    const stages = plan.stages.filter((stage) => sourceOf(plan, stage) === source);
    if (source.kind === 'samples' && stages.some(writesLate)) add({ topic: source.lateTopic, use: 'late', ...shape });
    if (source.badRecords === 'dead-letter' || stages.some(writesOutside))
      add({ topic: deadLetterTopic, use: 'dead-letter', ...shape });
  }
  return [...needs.values()];
}

function besideConfig({ maxMessageBytes }: SourceTopic): Readonly<Record<string, string>> {
  return { 'max.message.bytes': String(maxMessageBytes + HEADERS_BYTES_MAX) };
}

function prefix(run: RunIdentity): string {
  return `__${run.namespace}.${run.job}.${run.run}.${run.generation}`;
}
