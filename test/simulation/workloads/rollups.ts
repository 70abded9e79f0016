// Owns the workload of the shipped rollups: samples late, idle and broken, through an exchange or without, into windows
// of four sizes; judged against a slow model of them.

import { compileJob } from '#jobs/compile.ts';
import type { JobSettings } from '#jobs/plan.ts';
import rollups from '#jobs/rollups.ts';
import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import { decodeExchanged, type ExchangedRecord } from '#test/simulation/oracle/exchange-records.ts';
import { judgeOrderFree } from '#test/simulation/oracle/order-free-rows.ts';
import type { Placement } from '#test/simulation/oracle/placement.ts';
import { type ModelRow, nameOf, RESOLUTIONS, RollupModel } from '#test/simulation/oracle/rollup-model.ts';
import {
  type BadRecord,
  interpretExchange,
  interpretSource,
  type LateSample,
  type SourceStory,
} from '#test/simulation/oracle/task-model.ts';
import { judgeDeadLetters, judgeExchange, judgeLate, judgeRows } from '#test/simulation/oracle/verdict.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import type {
  Draw,
  Evidence,
  TaskEvidence,
  TaskOriginEvidence,
  Workload,
} from '#test/simulation/workloads/contract.ts';
import { drawRollupsInput, type InputShape, RollupsInput, SAMPLES } from '#test/simulation/workloads/rollups-input.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

/** Results that a window hands on together. */
const ROWS_AT_ONCE = 256;
const ROW_BYTES_MAX = 600;
const SOURCE_PARTITIONS = 2;
/** Idleness, a minute and the bound of lateness, and room for the words of an exchange. */
const CLOSING_MS = 80_000;

const EVERY = Number.POSITIVE_INFINITY;

interface Interpreted {
  readonly model: RollupModel | null;
  readonly story: SourceStory;
  readonly watermarkMs: number;
}

/** What one job of rollups is made of, and what it is fed. */
export interface RollupsKnobs {
  readonly seed: number;
  readonly shape: 'exchange' | 'producer' | 'series';
  readonly orderly: boolean;
  readonly outOfOrdernessMs: number;
  readonly allowedLatenessMs: number;
  readonly idlenessMs: number;
  readonly maxSkewMs: number;
  readonly start: 'earliest' | 'latest';
  readonly keyTtl: string;
  readonly sourcePartitions: number;
  /** Undefined without an exchange. */
  readonly exchangePartitions: number | undefined;
  readonly input: InputShape;
  readonly settings: Partial<JobSettings>;
}

export function drawRollups({ orderly, random, seed, settings }: Draw): Workload {
  const shape = random.pick(['exchange', 'exchange', 'producer', 'series'] as const);
  return rollupsWorkload({
    seed,
    shape,
    orderly,
    outOfOrdernessMs: random.pick([0, 2_000, 5_000]),
    allowedLatenessMs: random.pick([0, 0, 30_000, 120_000, 600_000]),
    idlenessMs: orderly ? 30_000 : random.pick([1_000, 2_000, 30_000]),
    maxSkewMs: random.pick([600_000, 10_800_000]),
    start: orderly ? 'earliest' : random.pick(['earliest', 'earliest', 'latest']),
    keyTtl: random.pick(['30s', '5m', '1h']),
    sourcePartitions: SOURCE_PARTITIONS,
    exchangePartitions: shape === 'exchange' ? random.range(2, 3) : undefined,
    input: drawRollupsInput(random, orderly),
    settings,
  });
}

export function rollupsWorkload(knobs: RollupsKnobs): Workload {
  const { allowedLatenessMs, idlenessMs, input, maxSkewMs, outOfOrdernessMs, shape, sourcePartitions } = knobs;
  const { exchangePartitions, keyTtl, settings, start } = knobs;
  const made = (partitions: number | undefined) => () =>
    compileJob(
      rollups({
        topic: SAMPLES,
        start,
        ...(shape === 'exchange' ? {} : { partitionedBy: shape }),
        outOfOrderness: `${outOfOrdernessMs}ms`,
        allowedLateness: `${allowedLatenessMs}ms`,
        idleness: `${idlenessMs}ms`,
        maxSkew: `${maxSkewMs}ms`,
        keyTtl,
        exchangePartitions: partitions,
      }),
      settings,
    );
  return {
    name: 'rollups',
    shape,
    job: made(exchangePartitions)(),
    upgrades: [exchangePartitions, other(exchangePartitions), exchangePartitions].map(made),
    sources: { [SAMPLES]: sourcePartitions },
    closingMs: idlenessMs < 30_000 ? CLOSING_MS : null,
    memoryBytes: null,
    burstBytesMax: allowedLatenessMs > 0 ? null : ROWS_AT_ONCE * ROW_BYTES_MAX,
    pagesMax: input.crowd,
    begin: (world, forked) => ({
      feed: new RollupsInput(world, knobs, forked),
      judge: (evidence) => judge(evidence, knobs),
    }),
  };
}

function other(partitions: number | undefined): number | undefined {
  return partitions === undefined ? undefined : 1 + (partitions % 3);
}

function judge(evidence: Evidence, rules: RollupsKnobs): void {
  const { complete, coverage, entryOf, placement, tasks } = evidence;
  const rows = new Map<string, readonly ModelRow[]>();
  const late: LateSample[] = [];
  const bad: BadRecord[] = [];
  const input: ArchivedRecord[] = [];
  const readers = tasks.filter(({ plan }) => plan.input.internal);
  const exchanged = readers.map((task) => task.input.map(decodeExchanged));
  for (const task of tasks) {
    const { input: records, name, plan } = task;
    if (plan.input.internal) continue;
    input.push(...records);
    const { model, story } = interpretedSource(task, rules, placement);
    late.push(...story.late);
    bad.push(...story.bad);
    if (model !== null) {
      rows.set(name, model.rows);
      judgeClosed(model, evidence);
    } else {
      const shape = { placement, partitionCount: exchanged.length, entryOf };
      judgeExchange(plan.identity.partition, name, story, exchanged.flat(), shape);
    }
  }
  for (const [at, task] of readers.entries()) {
    const found = interpretedReader(task, exchanged[at], rules, placement);
    late.push(...found.late);
    const { model } = found;
    rows.set(task.name, model.rows);
    judgeClosed(model, evidence);
  }
  const written = RESOLUTIONS.flatMap(([resolution]) => evidence.output(`metrics.rollup.${resolution}`));
  const lateWritten = evidence.output(`${SAMPLES}.late`);
  judgeDeadLetters(evidence.output(`${SAMPLES}.dead-letter`), bad, entryOf);
  judgeLate(lateWritten, late, entryOf);
  judgeRows(written, rows, { placement, partitionCount: rules.sourcePartitions, entryOf, complete });
  if (rules.orderly && complete) {
    const { outOfOrdernessMs, sourcePartitions: partitionCount } = rules;
    const latestMs = WORLD_EPOCH_MS + 86_400_000;
    const lineage = RESOLUTIONS.flatMap(([resolution]) => evidence.lineage(`metrics.rollup.${resolution}`));
    const lates = evidence.lineage(`${SAMPLES}.late`);
    judgeOrderFree({ records: input, partitionCount, outOfOrdernessMs, latestMs }, lineage, lates);
  }
  coverage.add('rows', written.length);
  coverage.add('late samples', late.length);
  coverage.add('dead letters', bad.length);
  coverage.add('corrections', [...rows.values()].flat().filter(({ revision }) => revision > 0).length);
}

/** As far as an entry, the task's own state made of that of tasks before it. */
function interpretedSource(task: TaskEvidence, rules: RollupsKnobs, placement: Placement, until = EVERY): Interpreted {
  const model = rules.shape === 'exchange' ? null : new RollupModel(rules.allowedLatenessMs);
  const parts = task.origin?.parts.map((part) => interpretedSource(part.task, rules, placement, part.entry)) ?? [];
  const models = parts.flatMap((part) => part.model ?? []);
  if (task.origin !== null) model?.adopt(models, ownsIn(task.origin, placement), isThereIn(task.origin));
  const begunMs = Math.max(Number.NEGATIVE_INFINITY, ...parts.map(({ watermarkMs }) => watermarkMs));
  const chain = task.chain.filter(({ number }) => number <= until);
  const story = interpretSource(chain, task.input, rules, model, begunMs);
  return { model, story, watermarkMs: story.entries.at(-1)?.watermarkMs ?? begunMs };
}

function interpretedReader(
  task: TaskEvidence,
  records: readonly ExchangedRecord[],
  rules: RollupsKnobs,
  placement: Placement,
  until = EVERY,
): { readonly model: RollupModel; readonly late: readonly LateSample[] } {
  const model = new RollupModel(rules.allowedLatenessMs);
  if (task.origin !== null) {
    const models = task.origin.parts.map(({ entry, task: part }) => {
      return interpretedReader(part, part.input.map(decodeExchanged), rules, placement, entry).model;
    });
    model.adopt(models, ownsIn(task.origin, placement), isThereIn(task.origin));
  }
  const chain = task.chain.filter(({ number }) => number <= until);
  return { model, late: interpretExchange(chain, records, task.plan.writers, model) };
}

function ownsIn({ partition, partitions }: TaskOriginEvidence, placement: Placement): (series: string) => boolean {
  return (series) => partitions === null || placement.of(series, partitions) === partition;
}

/** Whether a row was put out by those before. */
function isThereIn({ output }: TaskOriginEvidence) {
  const there = new Set<string>();
  for (const [resolution] of RESOLUTIONS) {
    for (const { key, value } of output(`metrics.rollup.${resolution}`)) {
      const { revision, window_start: start } = JSON.parse(String(value)) as Record<string, unknown>;
      there.add(`${resolution} ${Number(start)} ${key} #${revision}`);
    }
  }
  return (row: Pick<ModelRow, 'series' | 'resolution' | 'startMs' | 'revision'>) => {
    return there.has(`${nameOf(row)} #${row.revision}`);
  };
}

function judgeClosed(model: RollupModel, { closed, coverage }: Evidence): void {
  if (!closed) return;
  coverage.add('closed by idle time');
  require(model.openMinute === null, 'liveness', () => `${model.openMinute} is open although all sources are idle`);
}
