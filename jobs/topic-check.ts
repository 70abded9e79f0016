// Owns turning the options of a topic that rows or records go to into its step. Every fault is collected.

import type { Fault } from '#jobs/faults.ts';
import type { GraphStep } from '#jobs/graph.ts';
import type { CheckedStep } from '#jobs/graph-check.ts';
import { derivedId, idPart, OptionReader, show, topicFault } from '#jobs/option-reader.ts';
import type { SourcePlan, TopicStepPlan } from '#jobs/plan.ts';
import type { Carried } from '#jobs/record-check.ts';
import { checkRecordFormat } from '#jobs/source-check.ts';
import { ROW_FORMATS } from '#operators/formats/row-encoder.ts';

const TOPIC_OPTIONS = ['partitions', 'id', 'format', 'avroSchema', 'key'];

/** The step that writes to a topic, behind the step `input`. */
export function checkTopic(
  step: Extract<GraphStep, { kind: 'topic' }>,
  input: CheckedStep | null,
  carried: Carried,
  sources: readonly SourcePlan[],
  faults: Fault[],
): Extract<CheckedStep, { kind: 'topic' }> {
  const name = step.topic?.topic;
  const path = `topic ${show(name)}`;
  const wrongName = topicFault(name);
  if (wrongName !== null) faults.push({ path, ...wrongName });
  if (carried !== 'rows' && carried !== 'records') {
    const remedy = 'send the result of .aggregate(…), of flatMap or of a function to it';
    faults.push({ path, message: 'is fed something else than rows or records', remedy });
  }
  const reserved: readonly (readonly [string, string])[] = sources.flatMap((source) => [
    [source.topic, 'is the topic the job reads'],
    ...(source.kind === 'samples' ? [[source.lateTopic, 'takes the late samples of the job'] as const] : []),
    [source.deadLetterTopic, 'takes the dead letters of the job'],
  ]);
  for (const [topic, message] of reserved) {
    if (name === topic) faults.push({ path, message, remedy: 'choose another topic for the rows' });
  }
  const options = new OptionReader(faults, path, step.topic?.options, TOPIC_OPTIONS);
  const derived = derivedId(`${input?.id ?? ''}-to-${idPart(name)}`);
  return {
    kind: 'topic',
    id: options.id('id', derived),
    input: step.input,
    topic: name,
    partitions: options.integer('partitions', null, { min: 1, max: 10_000 }),
    ...(carried === 'rows' ? rowOptions(options) : { records: recordOptions(options) }),
  };
}

function rowOptions(options: OptionReader): Pick<TopicStepPlan, 'rows'> {
  for (const name of ['key', 'avroSchema']) {
    if (options.raw(name) !== undefined)
      options.fault(name, 'is of records only', 'leave it out: rows have a form of their own');
  }
  const format = options.oneOf('format', ROW_FORMATS, 'json');
  return format === 'json' ? {} : { rows: { format } };
}

function recordOptions(options: OptionReader): NonNullable<TopicStepPlan['records']> {
  const key = options.raw('key');
  if (key !== undefined && typeof key !== 'function') {
    options.fault('key', `${show(key)} is no function`, 'give key: (record) => …, or leave it out');
  }
  return { ...checkRecordFormat(options), keyed: key !== undefined };
}
