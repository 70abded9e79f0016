// Owns making the operator objects of one stage for one attempt of one task, and wiring them. Decides nothing: the plan
// says what stands behind what. Invariant: two calls with the same arguments give programs that behave the same.

import { EachConsumer } from '#jobs/each-consumer.ts';
import { EXCHANGE_SOURCE_ID } from '#jobs/graph-check.ts';
import { exchangeCodec, keyedOperator, localAggregate } from '#jobs/keyed-operators.ts';
import type { KeyedStepPlan } from '#jobs/keyed-plan.ts';
import {
  type CompiledJob,
  type ExchangeStepPlan,
  type FilterFunction,
  type MapFunction,
  type ProcessStepPlan,
  type RemoteWriteStepPlan,
  type SideStepPlan,
  type SourcePlan,
  type StagePlan,
  type StepPlan,
  sourceOf,
  stageOf,
  type TopicStepPlan,
  type TransformStepPlan,
  type WindowStepPlan,
  writesLate,
} from '#jobs/plan.ts';
import { receiverOf } from '#jobs/remote-receiver.ts';
import { StageSchemas } from '#jobs/stage-schemas.ts';
import { StageSeries } from '#jobs/stage-series.ts';
import { carriesSamples, headCarriesSamples, keyStepOf, stageOutputs, writersBeforeOf } from '#jobs/stage-shape.ts';
import { stageSource } from '#jobs/stage-source.ts';
import { exchangeTopic, type RunIdentity } from '#jobs/topics.ts';
import { MergedStats } from '#operators/aggregates/merged-stats.ts';
import { Stats } from '#operators/aggregates/stats.ts';
import { recordFormat } from '#operators/formats/record-format.ts';
import { ProcessOperator } from '#operators/process/process-operator.ts';
import { recordOf } from '#operators/records/record-rows.ts';
import { ExchangeSink } from '#operators/sinks/exchange-sink.ts';
import { LateSink } from '#operators/sinks/late-sink.ts';
import { RecordSink } from '#operators/sinks/record-sink.ts';
import { RemoteWriteSink } from '#operators/sinks/remote-write-sink.ts';
import { TopicSink } from '#operators/sinks/topic-sink.ts';
import { Filter } from '#operators/transforms/filter.ts';
import { KeyByLabels } from '#operators/transforms/key-by-labels.ts';
import { KeyByRecord } from '#operators/transforms/key-by-record.ts';
import { KeyBySeries } from '#operators/transforms/key-by-series.ts';
import { MapSamples } from '#operators/transforms/map.ts';
import { RecordTransform, type RecordTransformOptions } from '#operators/transforms/record-transform.ts';
import { SampleViews } from '#operators/transforms/sample-view.ts';
import { FinalHold } from '#operators/windows/final-hold.ts';
import { MergedWindow } from '#operators/windows/merged-window.ts';
import { TumblingWindow } from '#operators/windows/tumbling-window.ts';
import type { Effect } from '#runtime/effect/contract.ts';
import { Delivery } from '#runtime/effect/delivery.ts';
import { formatDuration } from '#runtime/std/duration.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch, BatchConsumer, Operator, StageOutput, StageProgram } from '#runtime/task/contract.ts';

export interface InstantiateOptions {
  readonly stageId: string;
  readonly run: RunIdentity;
}

/** The program of a stage: fresh objects, used for one attempt. */
export function instantiate(job: CompiledJob, options: InstantiateOptions): StageProgram {
  return new StageWiring(job, stageOf(job.plan, options.stageId), options.run).program();
}

/** Built from the sinks up, because each operator is given what stands behind it. */
class StageWiring {
  readonly #job: CompiledJob;
  readonly #stage: StagePlan;
  /** What the stage reads, or what stands before its exchange. */
  readonly #samples: SourcePlan;
  readonly #run: RunIdentity;
  readonly #outputs: readonly StageOutput[];
  readonly #series: StageSeries;
  /** In plan order. */
  readonly #operators: Operator[] = [];
  /** By the id of a step, what stands behind it, in plan order. */
  readonly #behind = new Map<string, BatchConsumer[]>();
  readonly #headCarriesSamples: boolean;
  /** By the id of a keyBy that stays in the stage. */
  readonly #keyTables = new Map<string, StageSeries>();
  readonly #effects: Effect[] = [];
  readonly #tables: StageSeries[] = [];
  /** Keys of operators that keep something of them. */
  readonly #keysOf = new Map<string, StageSeries>();
  readonly #schemas: StageSchemas | null;
  #late: LateSink | null = null;

  constructor(job: CompiledJob, stage: StagePlan, run: RunIdentity) {
    this.#job = job;
    this.#stage = stage;
    this.#samples = sourceOf(job.plan, stage);
    this.#run = run;
    this.#outputs = stageOutputs(job.plan, stage, run);
    this.#headCarriesSamples = headCarriesSamples(job.plan, stage);
    const registry = stage.input.kind === 'source' ? job.registries.get(stage.input.source) : undefined;
    this.#schemas = registry === undefined ? null : new StageSchemas(registry, job.schemaClient);
    this.#series = this.#table(`${this.#sourceId}/series`);
  }

  program(): StageProgram {
    const samples = this.#samples;
    const { input, steps } = this.#stage;
    if (writesLate(this.#stage) && samples.kind === 'samples') this.#addLateSink();
    for (const step of steps.toReversed()) this.#addStep(step);
    const head = this.#head();
    const fromSource = input.kind === 'source';
    const deadLetter = this.#outputs.find((output) => output.topic === samples.deadLetterTopic) ?? null;
    const { outOfOrdernessMs, idlenessMs, maxSkewMs } = samples;
    return {
      stageId: this.#stage.id,
      source: stageSource(this.#job, this.#stage, this.#series, this.#schemas),
      watermark: fromSource ? { kind: 'source', outOfOrdernessMs, idlenessMs, maxSkewMs } : { kind: 'exchange' },
      operators: this.#operators,
      head,
      outputs: this.#outputs,
      keys: this.#keysOf,
      tables: this.#tables,
      deadLetter: fromSource && samples.badRecords === 'dead-letter' ? deadLetter : null,
      badRecords: fromSource ? samples.badRecords : 'fail',
      effects: this.#effects,
      schemas: this.#schemas,
    };
  }

  get #sourceId(): string {
    return this.#stage.input.kind === 'source' ? this.#samples.id : EXCHANGE_SOURCE_ID;
  }

  #table(stateId: string): StageSeries {
    const table = new StageSeries({ stateId, seriesMax: this.#samples.seriesMax });
    this.#tables.push(table);
    return table;
  }

  // Keys by series are the source's own slots, so one operator behind the source marks and sweeps them for the whole
  // stage; who uses them is told to the table itself.
  #head(): BatchConsumer {
    const next = this.#consumers(this.#sourceId);
    const usesKeys = this.#stage.steps.some(
      (step) =>
        step.kind === 'window' ||
        step.kind === 'process' ||
        step.kind === 'keyed' ||
        step.kind === 'remote-write' ||
        (step.kind === 'exchange' && step.key === 'series'),
    );
    if (!usesKeys || (this.#stage.input.kind === 'source' && this.#samples.kind === 'records'))
      return next.length === 1 ? next[0] : new EachConsumer(next);
    const { keyTtlMs } = this.#samples;
    const id = `${this.#sourceId}-keys`;
    const keys = new KeyBySeries({ id, table: this.#series, keyTtlMs, users: [], next });
    this.#operators.unshift(keys);
    return keys;
  }

  #consumers(id: string): readonly BatchConsumer[] {
    const consumers = this.#behind.get(id) ?? [];
    return consumers.length > 1 ? [new EachConsumer(consumers)] : consumers;
  }

  #addStep(step: StepPlan): void {
    // What a function sends aside was gathered under the side output's own id.
    if (step.kind === 'side') return;
    const consumer = this.#make(step);
    for (const input of [step.input, ...(step.kind === 'exchange' ? (step.others ?? []) : [])]) {
      const siblings = this.#behind.get(input);
      if (siblings === undefined) this.#behind.set(input, [consumer]);
      else siblings.unshift(consumer);
    }
  }

  /** Makes the operators of a step, puts them before those that are there, and returns what takes its input. */
  #make(step: Exclude<StepPlan, SideStepPlan>): BatchConsumer {
    const next = this.#consumers(step.id);
    const { filter, map } = this.#job.functions;
    const table = this.#series;
    switch (step.kind) {
      case 'map':
        return this.#first(new MapSamples({ id: step.id, table, apply: known<MapFunction>(map, step.id), next }));
      case 'filter':
        return this.#first(new Filter({ id: step.id, table, apply: known<FilterFunction>(filter, step.id), next }));
      case 'transform':
        return this.#first(new RecordTransform({ id: step.id, ...this.#recordFunction(step), next }));
      case 'key':
        return this.#makeKey(step, this.#localKeys(step.id), next);
      case 'process':
        return this.#makeProcess(step, next);
      case 'exchange':
        return this.#makeExchange(step);
      case 'window':
        return this.#makeWindow(step);
      case 'topic':
        return this.#makeTopic(step);
      case 'remote-write':
        return this.#makeRemoteWrite(step);
      case 'keyed':
        return this.#makeKeyed(step, next);
    }
  }

  #first<T extends Operator>(operator: T): T {
    this.#operators.unshift(operator);
    return operator;
  }

  #makeExchange(step: ExchangeStepPlan): BatchConsumer {
    const { plan } = this.#job;
    const { watermarkIntervalMs } = plan;
    const topic = exchangeTopic(this.#run, step.to);
    const byFunction = step.key !== 'series' && 'function' in step.key;
    const keys = step.key === 'series' ? this.#series : this.#table(`${step.id}/keys`);
    const id = `exchange-${step.to}`.slice(0, 64);
    const writersBefore = writersBeforeOf(plan, this.#run, this.#stage, step.to);
    const codec = byFunction ? exchangeCodec(this.#job, step.to) : null;
    const sinkIndex = this.#sinkIndex(topic);
    const sink = this.#first(
      new ExchangeSink({ id, sinkIndex, topic, keys, codec, writersBefore, watermarkIntervalMs }),
    );
    keys.usedBy(sink);
    if (step.key === 'series') return sink;
    if ('function' in step.key) return this.#makeKey(step, keys, [this.#localPart(step.to, keys, sink)]);
    return this.#first(
      new KeyByLabels({
        id: step.id,
        series: this.#series,
        keys,
        labels: step.key.labels,
        keyTtlMs: this.#samples.keyTtlMs,
        users: [sink],
        next: [sink],
      }),
    );
  }

  #localPart(to: string, keys: StageSeries, sink: BatchConsumer): BatchConsumer {
    const local = localAggregate(this.#job, to, { next: [sink] });
    if (local === null) return sink;
    keys.usedBy(local);
    return this.#first(local);
  }

  #recordFunction(step: TransformStepPlan): Pick<RecordTransformOptions, 'function' | 'view'> {
    const apply = known(this.#job.functions.record, step.id);
    return { function: { kind: step.function, apply }, view: this.#view(step.input) };
  }

  #makeKey(step: { readonly id: string; readonly input: string }, keys: StageSeries, next: readonly BatchConsumer[]) {
    const { keyTtlMs } = this.#samples;
    const select = known(this.#job.functions.record, step.id);
    return this.#first(new KeyByRecord({ id: step.id, keys, select, view: this.#view(step.input), keyTtlMs, next }));
  }

  #makeProcess(step: ProcessStepPlan, next: readonly BatchConsumer[]): BatchConsumer {
    const { callbacks, states } = known(this.#job.functions.process, step.id);
    const keys = this.#keysAt(step.input);
    invariant(keys !== null, `process '${step.id}' has no key`);
    const sides = new Map(step.sides.map((name) => [name, this.#side(step.id, name)]));
    const view = this.#view(step.input);
    const operator = new ProcessOperator({ id: step.id, keys, states, callbacks, view, next, sides });
    keys.usedBy(operator);
    this.#keysOf.set(step.id, keys);
    return this.#first(operator);
  }

  #side(of: string, name: string): readonly BatchConsumer[] {
    const side = this.#stage.steps.find((one) => one.kind === 'side' && one.input === of && one.name === name);
    return side === undefined ? [] : this.#consumers(side.id);
  }

  #makeKeyed(step: KeyedStepPlan, results: readonly BatchConsumer[]): BatchConsumer {
    const keys = this.#keysAt(step.input);
    invariant(keys !== null, `'${step.id}' has no key`);
    const side = (name: string) => this.#side(step.id, name);
    const view = this.#view(step.input);
    const operator = this.#first(keyedOperator(step, { job: this.#job, keys, view, results, side }));
    keys.usedBy(operator);
    this.#keysOf.set(step.id, keys);
    return operator;
  }

  /** How functions see the rows that a step of this stage gives. */
  #view(input: string): (batch: Batch, index: number) => unknown {
    if (!carriesSamples(this.#job.plan, this.#stage, input)) return recordOf;
    const views = new SampleViews(this.#series);
    return (batch, index) => views.view(batch, index);
  }

  /** The keys of what a step gives, null before keyBy. */
  #keysAt(input: string): StageSeries | null {
    const step = keyStepOf(this.#stage, input);
    if (step !== null) return this.#localKeys(step.id);
    return this.#stage.input.kind === 'exchange' || this.#headCarriesSamples ? this.#series : null;
  }

  #localKeys(id: string): StageSeries {
    const known = this.#keyTables.get(id) ?? this.#table(`${id}/keys`);
    this.#keyTables.set(id, known);
    return known;
  }

  #makeWindow(step: WindowStepPlan): BatchConsumer {
    const { allowedLatenessMs, id, sizeMs } = step;
    const results = this.#consumers(id);
    const upstream = this.#stage.steps.find((other) => other.id === step.input);
    let window: Operator;
    if (step.aggregate === 'stats') {
      invariant(this.#late !== null, 'a stage with windows of samples has a late output');
      const late = [this.#late];
      window = new TumblingWindow({ id, sizeMs, allowedLatenessMs, aggregate: new Stats(), results, late });
    } else {
      invariant(upstream?.kind === 'window', `window '${id}' merges windows`);
      const paneMs = upstream.sizeMs;
      const makeAggregate = () => new MergedStats();
      window = new MergedWindow({ id, sizeMs, paneMs, allowedLatenessMs, makeAggregate, results });
    }
    this.#series.usedBy(window);
    this.#keysOf.set(id, this.#series);
    return this.#first(window);
  }

  #makeTopic(step: TopicStepPlan): BatchConsumer {
    if (step.records !== undefined) return this.#makeRecordTopic(step, step.records);
    const window = this.#stage.steps.find((other) => other.id === step.input);
    invariant(window?.kind === 'window', `topic '${step.topic}' takes rows of a window`);
    const resolution = formatDuration(window.sizeMs);
    const { id, topic } = step;
    const to = { id, sinkIndex: this.#sinkIndex(topic), topic, format: step.rows?.format };
    return this.#first(new TopicSink({ ...to, resolution, keys: this.#series, run: 0 }));
  }

  #makeRecordTopic(step: TopicStepPlan, records: NonNullable<TopicStepPlan['records']>): BatchConsumer {
    const { avroSchema, keyed } = records;
    const { id, topic } = step;
    const key = keyed ? known(this.#job.functions.record, id) : null;
    const keys = this.#keysAt(step.input);
    const sinkIndex = this.#sinkIndex(topic);
    return this.#first(
      new RecordSink({ id, sinkIndex, topic, format: recordFormat(records.format, avroSchema), keys, key }),
    );
  }

  #makeRemoteWrite(step: RemoteWriteStepPlan): BatchConsumer {
    const { hold, id, names, target } = step;
    const { deadLetterTopic, kind, topic } = this.#samples;
    const keys = this.#series;
    const connection = known(this.#job.targets, id);
    const { requestBytesMax, requestSamplesMax, queueBytesMax } = connection;
    const portions = { requestBytesMax, requestSamplesMax, queueBytesMax };
    const letters = { sourceTopic: topic, deadLetterTopic, sinkIndex: this.#sinkIndex(deadLetterTopic) };
    const sink = this.#first(new RemoteWriteSink({ id, target, keys, names, ...letters, ...portions }));
    keys.usedBy(sink);
    const count = (counter: string, by: number) => sink.tell(counter, by);
    const receiver = this.#job.connect?.(target, connection) ?? receiverOf(connection);
    this.#effects.push(new Delivery({ target, outbox: sink, receiver, count }));
    if (hold === null) return sink;
    const late = this.#late === null ? [] : [this.#late];
    const of = kind === 'rows' ? 'rollups' : 'samples';
    const holding = this.#first(new FinalHold({ id: `${id}-hold`, kind: of, ...hold, next: [sink], late }));
    keys.usedBy(holding);
    this.#keysOf.set(holding.id, keys);
    return holding;
  }

  #addLateSink(): void {
    invariant(this.#samples.kind === 'samples', 'late samples come from samples');
    const topic = this.#samples.lateTopic;
    const id = `${this.#sourceId}-late`;
    this.#late = this.#first(new LateSink({ id, sinkIndex: this.#sinkIndex(topic), topic, keys: this.#series }));
  }

  #sinkIndex(topic: string): number {
    const output = this.#outputs.find((candidate) => candidate.topic === topic);
    invariant(output !== undefined, `stage '${this.#stage.id}' does not write '${topic}'`);
    return output.sinkIndex;
  }
}

function known<F>(functions: ReadonlyMap<string, F>, id: string): F {
  const apply = functions.get(id);
  invariant(apply !== undefined, `step '${id}' has no function`);
  return apply;
}
