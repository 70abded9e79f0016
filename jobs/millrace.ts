// Owns what users of the package import: the words of jobs and of configurations, nothing else.

export {
  boolean,
  bytes,
  float64,
  int64,
  integer,
  json,
  list,
  map,
  record,
  type StateCodec,
  text,
} from '#checkpoint/codecs.ts';
export { type Migration, migrating, versioned } from '#checkpoint/state-migration.ts';
export {
  type Config,
  type ConfigDefinition,
  defineConfig,
  directory,
  embedded,
  env,
  type JobEntry,
  kafka,
  s3,
} from '#jobs/config.ts';
export { defineJob, type JobDefinition, type JobSpec } from '#jobs/define-job.ts';
export {
  by,
  mergedStats,
  type SamplesOptions,
  samples,
  series,
  stats,
  topic,
  tumbling,
} from '#jobs/descriptions.ts';
export {
  counterIncrease,
  deduplicate,
  distinct,
  increase,
  rate,
  rollingReduce,
  rollingTop,
  topK,
} from '#jobs/function-words.ts';
export type {
  KeyedRecordStream,
  KeyedStream,
  ProcessedStream,
  RecordStream,
  RecordWindowedStream,
  RollupStream,
  RowStream,
  SampleStream,
  WindowedStream,
} from '#jobs/graph.ts';
export type { IntervalJoinSpec, LookupSpec } from '#jobs/join-words.ts';
export type { FilterFunction, MapFunction, Sample } from '#jobs/plan.ts';
export {
  aggregatingState,
  listState,
  mapState,
  type ProcessContext,
  type ProcessSpec,
  type RecordsOptions,
  records,
  valueState,
} from '#jobs/record-words.ts';
export { default as rollups, type RollupsOptions } from '#jobs/rollups.ts';
export { type RemoteWriteOptions, type RowsOptions, remoteWrite, rows } from '#jobs/tsdb-words.ts';
export { default as tsdbWriter, type TsdbWriterOptions } from '#jobs/tsdb-writer.ts';
export {
  countWindow,
  globalWindow,
  type RecordAggregate,
  session,
  sliding,
  type TriggerOptions,
  type WindowRecord,
} from '#jobs/window-words.ts';
export { ROLLUP_ROW_SCHEMA } from '#operators/formats/row-encoder.ts';
