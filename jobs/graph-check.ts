// Owns turning recorded steps into checked ones: ids given or derived, durations read, wrong orders named. Every fault
// is collected. What it returns is whole only when no fault was added.

import type { Fault } from '#jobs/faults.ts';
import { type GraphStep, sourceInput, type WindowStep } from '#jobs/graph.ts';
import { ID_PATTERN, OptionReader, show, topicFault } from '#jobs/option-reader.ts';
import type { KeyPlan, SourcePlan, TopicStepPlan, WindowStepPlan } from '#jobs/plan.ts';
import { formatDuration, parseDuration } from '#runtime/std/duration.ts';

/** A step as the compiler takes it; `input` is a place in the same list, or a source as in the graph. */
export type CheckedStep =
  | { readonly kind: 'map' | 'filter'; readonly id: string; readonly input: number }
  | { readonly kind: 'keyBy'; readonly id: string; readonly input: number; readonly key: KeyPlan }
  | (Omit<WindowStepPlan, 'input'> & { readonly input: number })
  | (Omit<TopicStepPlan, 'input'> & { readonly input: number });

/** Id of the step that reads the exchange of a stage; authors cannot have it. */
export const EXCHANGE_SOURCE_ID = 'exchange';

const WINDOW_MS_MIN = 1_000;
const WINDOW_MS_MAX = 366 * 86_400_000;

export function checkGraph(
  steps: readonly GraphStep[],
  sources: readonly SourcePlan[],
  faults: Fault[],
): CheckedStep[] {
  const checked: CheckedStep[] = [];
  for (const step of steps) checked.push(checkStep(step, checked, sources, faults));
  checkIds(checked, sources, faults);
  checkEnds(checked, sources, faults);
  return checked;
}

function checkStep(
  step: GraphStep,
  before: readonly CheckedStep[],
  sources: readonly SourcePlan[],
  faults: Fault[],
): CheckedStep {
  const input = step.input < 0 ? null : before[step.input];
  switch (step.kind) {
    case 'map':
    case 'filter':
      return checkFunction(step, input, faults);
    case 'keyBy':
      return checkKeyBy(step, input, sources, faults);
    case 'window':
      return checkWindow(step, input, faults);
    case 'topic':
      return checkTopic(step, input, sources, faults);
  }
}

function carriesSamples(step: CheckedStep | null): boolean {
  return step === null || step.kind === 'map' || step.kind === 'filter';
}

function checkFunction(
  step: Extract<GraphStep, { kind: 'map' | 'filter' }>,
  input: CheckedStep | null,
  faults: Fault[],
): CheckedStep {
  const path = `${step.kind} ${show(step.id)}`;
  if (typeof step.apply !== 'function') {
    faults.push({ path, message: `${show(step.apply)} is no function`, remedy: `give ${step.kind}(id, function)` });
  }
  if (!carriesSamples(input)) {
    faults.push({ path, message: 'stands behind keyBy or a window', remedy: `put the ${step.kind} before keyBy` });
  }
  return { kind: step.kind, id: step.id, input: step.input };
}

function checkKeyBy(
  step: Extract<GraphStep, { kind: 'keyBy' }>,
  input: CheckedStep | null,
  sources: readonly SourcePlan[],
  faults: Fault[],
): CheckedStep {
  const selector = step.selector;
  const key: KeyPlan = selector?.kind === 'labels' ? { labels: [...selector.labels] } : 'series';
  const name = key === 'series' ? 'series' : key.labels.map(idPart).join('-');
  const path = key === 'series' ? 'keyBy(series)' : `keyBy(by(${key.labels.map(show).join(', ')}))`;
  const fault = (message: string, remedy: string) => faults.push({ path, message, remedy });
  if (selector?.kind !== 'labels' && selector?.kind !== 'series') {
    fault(`${show(selector)} is no key`, "use keyBy(series) or keyBy(by('service'))");
  }
  if (!carriesSamples(input)) fault('stands behind keyBy or a window', 'put keyBy before the first window, once');
  if (key !== 'series') {
    if (key.labels.length === 0) fault('names no label', "name labels, or use keyBy(series) for all: by('service')");
    for (const [at, label] of key.labels.entries()) {
      if (typeof label !== 'string' || label === '') fault(`${show(label)} is no label name`, 'name labels as text');
      else if (key.labels.indexOf(label) !== at) fault(`label '${label}' stands twice`, 'name each label once');
    }
  }
  const only = sources.length === 1;
  const before = input?.id ?? (only ? null : sources[sourceInput(step.input)].id);
  const id = `${before === null ? '' : `${before}-`}key-by-${name}`;
  return { kind: 'keyBy', id: derivedId(id), input: step.input, key };
}

function checkWindow(step: WindowStep, input: CheckedStep | null, faults: Fault[]): CheckedStep {
  const path = `window ${show(step.id)}`;
  const fault = (field: string, message: string, remedy: string) =>
    faults.push({ path: path + field, message, remedy });
  const aggregate = step.aggregates[0]?.kind;
  if (aggregate !== 'stats' && aggregate !== 'mergedStats') {
    fault('', 'has no aggregate', 'add .aggregate(stats()), or .aggregate(mergedStats()) on windows of windows');
  } else if (step.aggregates.length > 1) fault('', 'is aggregated twice', 'open a second window with its own id');
  const upstream = input?.kind === 'window' ? input : null;
  if (upstream === null && input?.kind !== 'keyBy') {
    fault('', 'has no key', 'put keyBy(series) or keyBy(by(…)) before it');
  } else if (upstream === null && aggregate === 'mergedStats') {
    fault('', 'merges window results but is fed samples', 'use stats() here, mergedStats() on a window of windows');
  } else if (upstream !== null && aggregate === 'stats') {
    fault('', `takes samples but is fed windows of '${upstream.id}'`, 'use mergedStats() here');
  }
  const sizeMs = checkSize(step, upstream, fault);
  const allowedLatenessMs = checkLateness(step, upstream, faults, fault);
  return {
    kind: 'window',
    id: step.id,
    input: step.input,
    sizeMs,
    allowedLatenessMs,
    aggregate: aggregate ?? 'stats',
  };
}

type FieldFault = (field: string, message: string, remedy: string) => void;
type CheckedWindow = Extract<CheckedStep, { kind: 'window' }>;

function checkSize(step: WindowStep, upstream: CheckedWindow | null, fault: FieldFault): number {
  const size = step.window?.size;
  const sizeMs = typeof size === 'string' ? parseDuration(size) : null;
  if (step.window?.kind !== 'tumbling' || sizeMs === null) {
    fault('.size', `${show(size)} is no duration`, "write it as tumbling('1m')");
    return WINDOW_MS_MIN;
  }
  if (sizeMs < WINDOW_MS_MIN || sizeMs > WINDOW_MS_MAX) {
    fault('.size', `${size} is out of range`, 'choose from 1s to 366d');
  } else if (upstream !== null && (sizeMs % upstream.sizeMs !== 0 || sizeMs === upstream.sizeMs)) {
    const of = formatDuration(upstream.sizeMs);
    fault('.size', `${size} is no multiple of ${of}, the size of '${upstream.id}'`, `choose 2 × ${of} or more`);
  }
  return sizeMs;
}

/** Windows of windows are corrected as long as what feeds them, no longer and no shorter. */
function checkLateness(step: WindowStep, upstream: CheckedWindow | null, faults: Fault[], fault: FieldFault): number {
  const options = new OptionReader(faults, `window ${show(step.id)}`, step.window?.options, ['allowedLateness']);
  const latenessMs = options.duration('allowedLateness', upstream?.allowedLatenessMs ?? 0);
  if (upstream === null || latenessMs === upstream.allowedLatenessMs) return latenessMs;
  const [own, theirs] = [formatDuration(latenessMs), formatDuration(upstream.allowedLatenessMs)];
  const less = latenessMs < upstream.allowedLatenessMs;
  const why = less ? 'whose corrections would be lost' : 'after which nothing comes';
  const message = `${own} is ${less ? 'less' : 'more'} than the ${theirs} of '${upstream.id}', ${why}`;
  fault('.allowedLateness', message, 'leave it out here; set it where the samples come in');
  return upstream.allowedLatenessMs;
}

function checkTopic(
  step: Extract<GraphStep, { kind: 'topic' }>,
  input: CheckedStep | null,
  sources: readonly SourcePlan[],
  faults: Fault[],
): CheckedStep {
  const name = step.topic?.topic;
  const path = `topic ${show(name)}`;
  const wrongName = topicFault(name);
  if (wrongName !== null) faults.push({ path, ...wrongName });
  if (input?.kind !== 'window') {
    faults.push({ path, message: 'is fed something else than rows', remedy: 'send the result of .aggregate(…) to it' });
  }
  const reserved: readonly (readonly [string, string])[] = sources.flatMap((source) => [
    [source.topic, 'is the topic the job reads'],
    [source.lateTopic, 'takes the late samples of the job'],
    [source.deadLetterTopic, 'takes the dead letters of the job'],
  ]);
  for (const [topic, message] of reserved) {
    if (name === topic) faults.push({ path, message, remedy: 'choose another topic for the rows' });
  }
  const options = new OptionReader(faults, path, step.topic?.options, ['partitions', 'id']);
  const derived = derivedId(`${input?.id ?? ''}-to-${idPart(name)}`);
  return {
    kind: 'topic',
    id: options.id('id', derived),
    input: step.input,
    topic: name,
    partitions: options.integer('partitions', null, { min: 1, max: 10_000 }),
  };
}

function checkIds(steps: readonly CheckedStep[], sources: readonly SourcePlan[], faults: Fault[]): void {
  const seen = new Map([[EXCHANGE_SOURCE_ID, 'what reads exchanges']]);
  for (const { id } of sources) {
    const name = sources.length === 1 ? 'the source' : `source '${id}'`;
    const path = sources.length === 1 ? 'source.id' : `sources.${id}.id`;
    if (id === EXCHANGE_SOURCE_ID) faults.push({ path, message: `'${id}' is taken`, remedy: 'choose another id' });
    else if (!ID_PATTERN.test(id))
      faults.push({ path, message: `${show(id)} is no id`, remedy: 'use 1 to 64 of a-z, 0-9 and -' });
    else if (seen.has(id)) faults.push({ path, message: `'${id}' stands twice`, remedy: 'choose another id' });
    seen.set(id, name);
  }
  for (const step of steps) {
    const path = `${step.kind} ${show(step.id)}`;
    const authored = step.kind !== 'keyBy' && step.kind !== 'topic';
    if (authored && (typeof step.id !== 'string' || !ID_PATTERN.test(step.id))) {
      faults.push({ path, message: `${show(step.id)} is no id`, remedy: 'use 1 to 64 of a-z, 0-9 and -' });
      continue;
    }
    const first = seen.get(step.id);
    if (first === undefined) seen.set(step.id, path);
    else faults.push({ path, message: `has the id of ${first}`, remedy: 'give each step an id of its own' });
  }
}

function checkEnds(steps: readonly CheckedStep[], sources: readonly SourcePlan[], faults: Fault[]): void {
  if (!steps.some((step) => step.kind === 'topic')) {
    faults.push({ path: 'build', message: 'sends nothing anywhere', remedy: "end with .to(topic('…'))" });
  }
  for (const [place, { id }] of sources.entries()) {
    if (sources.length === 1 || steps.some((step) => step.input === sourceInput(place))) continue;
    faults.push({
      path: `sources.${id}`,
      message: 'is read by nothing',
      remedy: 'use its stream in build, or remove it',
    });
  }
  for (const [at, step] of steps.entries()) {
    if (step.kind === 'topic' || steps.some((other) => other.input === at)) continue;
    faults.push({
      path: `${step.kind} ${show(step.id)}`,
      message: 'leads nowhere',
      remedy: "end it with .to(topic('…')), or remove it",
    });
  }
}

function idPart(name: unknown): string {
  return String(name)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-');
}

function derivedId(text: string): string {
  return text.slice(0, 64);
}
