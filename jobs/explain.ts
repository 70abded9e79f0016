// Owns the text of a plan as people read it: one line per stage, one per chain of steps. Golden files pin it.

import { keyedText } from '#jobs/keyed-text.ts';
import {
  type JobSettings,
  type KeyPlan,
  type Plan,
  type ProcessStepPlan,
  type RemoteWriteStepPlan,
  type SourceFields,
  type SourcePlan,
  type StagePlan,
  type StepPlan,
  sourceOf,
  type WindowStepPlan,
} from '#jobs/plan.ts';
import { formatDuration, parseDuration } from '#runtime/std/duration.ts';

/** The plan as text, ends with a line feed. */
export function explain(plan: Plan, settings: JobSettings): string {
  const intervals = `commit every ${interval(settings.commitIntervalMs)}`;
  const lines = [`${plan.job}  ${intervals}  checkpoint every ${interval(settings.checkpointIntervalMs)}`];
  for (const stage of plan.stages) {
    lines.push(`  stage ${stage.id} × ${parallelism(plan, stage)}   ${inputText(plan, stage)}`);
    for (const chain of chains(stage)) lines.push(`    → ${chain}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Below two minutes in seconds, as people speak of intervals. */
function interval(ms: number): string {
  return ms >= 1_000 && ms <= 120_000 && ms % 1_000 === 0 ? `${ms / 1_000}s` : formatDuration(ms);
}

function parallelism(plan: Plan, stage: StagePlan): string {
  return stage.partitions === null ? `partitions of ${sourceOf(plan, stage).topic}` : `${stage.partitions} partitions`;
}

function inputText(plan: Plan, stage: StagePlan): string {
  return stage.input.kind === 'exchange'
    ? `exchange ${stage.id} from ${[stage.input.from, ...(stage.input.others ?? [])].join(', ')}`
    : sourceText(sourceOf(plan, stage));
}

function sourceText(source: SourcePlan): string {
  const id = source.id === source.kind ? source.kind : `${source.kind} '${source.id}'`;
  const partitioned = source.partitionedBy === null ? '' : `, partitioned by ${source.partitionedBy}`;
  const notes = [
    `out of order ≤ ${formatDuration(source.outOfOrdernessMs)}`,
    `idle after ${formatDuration(source.idlenessMs)}`,
  ];
  const { format = 'json' } = source;
  if (source.kind !== 'records' && format !== 'json') notes.unshift(`format ${format}`);
  if (source.start !== 'earliest') notes.push(`from ${startText(source.start)}`);
  if (source.maxSkewMs !== 600_000) notes.push(`skew ≤ ${formatDuration(source.maxSkewMs)}`);
  if (source.badRecords !== 'dead-letter') notes.push(`bad records: ${source.badRecords}`);
  if (source.kind === 'samples' && source.lateTopic !== `${source.topic}.late`)
    notes.push(`late to ${source.lateTopic}`);
  if (source.deadLetterTopic !== `${source.topic}.dead-letter`) notes.push(`dead letters to ${source.deadLetterTopic}`);
  return `${id} ${source.topic}${partitioned} (${notes.join(', ')})`;
}

function startText(start: SourceFields['start']): string {
  return typeof start === 'string' ? start : new Date(start.timestampMs).toISOString();
}

/** A chain begins at a window of windows, or where a step has several readers; sinks stand behind what feeds them. */
function chains(stage: StagePlan): string[] {
  const lines: string[] = [];
  const headId = stage.steps[0]?.input;
  const readers = (id: string) => stage.steps.filter((step) => step.input === id && step.kind !== 'topic');
  const continues = (step: StepPlan) =>
    step.input !== headId && readers(step.input).length === 1 && !isWindow(stage, step.input);
  for (const step of stage.steps) {
    if (step.kind === 'topic' || continues(step)) continue;
    let line = '';
    let current: StepPlan | undefined = step;
    while (current !== undefined) {
      const of = current === step && current.input !== headId ? ` of ${current.input}` : '';
      line += (line === '' ? '' : ' → ') + stepText(current, of) + sinksText(stage, current.id);
      const next: StepPlan[] = readers(current.id);
      current = next.length === 1 && continues(next[0]) ? next[0] : undefined;
    }
    lines.push(line);
  }
  return lines;
}

function isWindow(stage: StagePlan, id: string): boolean {
  return stage.steps.some((step) => step.id === id && step.kind === 'window');
}

function stepText(step: StepPlan, of: string): string {
  switch (step.kind) {
    case 'exchange':
      return `key by ${keyText(step.key)}${of} → exchange ${step.to}`;
    case 'window':
      return windowText(step, of);
    case 'remote-write':
      return targetText(step, of);
    case 'transform':
      return `${step.function} ${step.id}${of}`;
    case 'key':
      return `key by ${step.id}${of}`;
    case 'process':
      return processText(step, of);
    case 'keyed':
      return keyedText(step, of);
    default:
      return `${step.kind} ${step.id}${of}`;
  }
}

function keyText(key: KeyPlan): string {
  if (key === 'series') return 'series';
  return 'function' in key ? key.function : key.labels.join(', ');
}

function processText(step: ProcessStepPlan, of: string): string {
  const states = Object.entries(step.states).map(([name, { kind, codec, ttlMs }]) => {
    const what = kind === 'list' || kind === 'map' ? codec : `${kind} of ${codec}`;
    return `${name}: ${what}${ttlMs === null ? '' : ` for ${formatDuration(ttlMs)}`}`;
  });
  return `process ${step.id}${of}${states.length === 0 ? '' : ` [state ${states.join(', ')}]`}`;
}

/** The size is said only where the id does not say it. */
function windowText(step: WindowStepPlan, of: string): string {
  const size = parseDuration(step.id) === step.sizeMs ? '' : ` ${formatDuration(step.sizeMs)}`;
  const late = step.allowedLatenessMs === 0 ? '' : `, late ≤ ${formatDuration(step.allowedLatenessMs)}`;
  return `window ${step.id} tumbling${size}${of}${late} [state ${step.id}]`;
}

function targetText({ hold, id, target }: RemoteWriteStepPlan, of: string): string {
  if (hold === null) return `remote write to ${target}${of}, as rows come`;
  const { corrections, latenessMs } = hold;
  const wait =
    corrections === 'drop' ? ', corrections dropped' : latenessMs > 0 ? `, late ≤ ${formatDuration(latenessMs)}` : '';
  return `remote write to ${target}${of}, once when final${wait} [state ${id}-hold]`;
}

function sinksText(stage: StagePlan, id: string): string {
  const topics: string[] = [];
  for (const step of stage.steps) {
    if (step.kind !== 'topic' || step.input !== id) continue;
    topics.push(`topic ${step.topic}${step.partitions === null ? '' : ` (${step.partitions} partitions)`}`);
  }
  return topics.length === 0 ? '' : ` → ${topics.join(', ')}`;
}
