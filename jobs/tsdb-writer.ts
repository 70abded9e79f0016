// Owns the job that brings samples and rollup rows to time-series databases. Each topic is read once for each target, by
// tasks of their own: a slow target holds nobody up.

import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { type SamplesDescription, type SamplesOptions, samples } from '#jobs/descriptions.ts';
import { type Fault, faultsError } from '#jobs/faults.ts';
import { isPlainObject, OptionReader, show } from '#jobs/option-reader.ts';
import {
  type RemoteWriteOptions,
  type RowsDescription,
  type RowsOptions,
  remoteWrite,
  rows,
} from '#jobs/tsdb-words.ts';

export interface TsdbWriterOptions {
  /** Receivers of remote write; at least one. */
  readonly targets: readonly Omit<RemoteWriteOptions, 'id'>[];
  /** Prefix of rollup topics (`<prefix>.1m`, `.5m`, `.1h`, `.1d`), the topics themselves, or false. @default 'metrics.rollup' */
  readonly rollups?: string | readonly string[] | false | undefined;
  /** How the rows are written there; 'remote-write' is for replaceable targets only. @default 'json' */
  readonly rowFormat?: RowsOptions['format'];
  /** Topic of raw samples, or all options of samples(); true: 'metrics.raw'. @default false */
  readonly raw?: string | boolean | Omit<SamplesOptions, 'id' | 'consumerGroup'> | undefined;
  /** Where the very first start begins, as in samples(). @default 'earliest' */
  readonly start?: 'earliest' | 'latest' | (string & {}) | number | undefined;
  /** How far a row's window may lie behind the latest seen; only final targets wait. @default '1m' */
  readonly outOfOrderness?: string | undefined;
  /** The same of raw samples. @default '5s' */
  readonly rawOutOfOrderness?: string | undefined;
  /** Without input for this long a partition stops holding the watermark back. @default '30s', minimum '1s' */
  readonly idleness?: string | undefined;
  /** Live series per task at most. @default 1000000 */
  readonly seriesMax?: number | undefined;
  /** Offsets are published under it; with several targets under `<group>.<target>`. @default 'tsdb-writers' */
  readonly group?: string | undefined;
  /** What arrives is sent after this at the latest. @default '1s' */
  readonly commitInterval?: string | undefined;
  /** @default 'tsdb-writer' */
  readonly name?: string | undefined;
}

const OPTIONS = [
  'targets',
  'rollups',
  'rowFormat',
  'raw',
  'start',
  'outOfOrderness',
  'rawOutOfOrderness',
  'idleness',
  'seriesMax',
  'group',
  'commitInterval',
  'name',
];
const SIZES = ['1m', '5m', '1h', '1d'];

/** What one target reads from one topic. */
interface Way {
  readonly target: Omit<RemoteWriteOptions, 'id'>;
  readonly source: SamplesDescription | RowsDescription;
}

/** The writer. Error: job-invalid, with all faults of the options; values are checked where they are used. */
export default function tsdbWriter(options: TsdbWriterOptions): JobDefinition {
  checkOptions(options);
  const { commitInterval = '1s', name = 'tsdb-writer', targets } = options;
  const group = options.group ?? 'tsdb-writers';
  const ways = new Map<string, Way>();
  for (const target of targets) {
    const consumerGroup = targets.length === 1 ? group : `${group}.${target.name}`;
    const { idleness, seriesMax, start } = options;
    const common = { start, idleness, seriesMax, consumerGroup };
    for (const [part, topic] of rollupTopics(options.rollups)) {
      const { outOfOrderness, rowFormat: format } = options;
      ways.set(`${target.name}-${part}`, { target, source: rows({ ...common, topic, format, outOfOrderness }) });
    }
    const raw = rawOptions(options.raw);
    if (raw === null) continue;
    const outOfOrderness = options.rawOutOfOrderness;
    // Rollups have late samples of their own in the same topic's name.
    const lateTopic = `${raw.topic}.late.${target.name}`;
    const source = samples({ ...common, outOfOrderness, lateTopic, ...raw });
    // Samples are not corrected: they need not wait for it.
    ways.set(`${target.name}-raw`, { target: { ...target, lateness: undefined, corrections: undefined }, source });
  }
  return defineJob({
    name,
    commitInterval,
    optionsInPlan: true,
    sources: Object.fromEntries([...ways].map(([id, { source }]) => [id, source])),
    build: (streams) => {
      for (const [id, { target }] of ways) streams[id].to(remoteWrite(target));
    },
  });
}

/** Topics by what their source is called. */
function rollupTopics(rollups: TsdbWriterOptions['rollups'] = 'metrics.rollup'): [string, string][] {
  if (rollups === false) return [];
  if (typeof rollups === 'string') return SIZES.map((size) => [size, `${rollups}.${size}`]);
  return rollups.map((topic) => [topic.toLowerCase().replace(/[^a-z0-9]+/g, '-'), topic]);
}

function rawOptions(raw: TsdbWriterOptions['raw']): SamplesOptions | null {
  if (raw === undefined || raw === false) return null;
  if (typeof raw === 'object') return raw;
  return { topic: raw === true ? 'metrics.raw' : raw };
}

function checkOptions(options: TsdbWriterOptions): void {
  const faults: Fault[] = [];
  const reader = new OptionReader(faults, 'options', options, OPTIONS);
  const { raw, rollups, targets } = reader.all();
  const list = Array.isArray(targets) ? targets : [];
  if (list.length === 0) {
    const remedy = "name where to write: targets: [{ name: 'vm', url: 'http://…/api/v1/write', mode: 'final' }]";
    reader.fault('targets', 'names no target', remedy);
  }
  const names = new Set<unknown>();
  for (const [at, target] of list.entries()) {
    const name: unknown = isPlainObject(target) ? target['name'] : undefined;
    if (!isPlainObject(target))
      faults.push({ path: `options.targets[${at}]`, message: 'is no object', remedy: 'give { name, url, mode }' });
    else if (names.has(name))
      faults.push({
        path: `options.targets[${at}].name`,
        message: `${show(name)} stands twice`,
        remedy: 'give each target a name of its own',
      });
    names.add(name);
  }
  const isTopics = Array.isArray(rollups) && rollups.length > 0 && rollups.every((topic) => typeof topic === 'string');
  if (rollups !== undefined && rollups !== false && typeof rollups !== 'string' && !isTopics) {
    reader.fault(
      'rollups',
      `${show(rollups)} are no topics`,
      "give a prefix such as 'metrics.rollup', topics, or false",
    );
  }
  if (raw !== undefined && typeof raw !== 'boolean' && typeof raw !== 'string' && !isPlainObject(raw)) {
    reader.fault('raw', `${show(raw)} is no topic`, "give a topic, true for 'metrics.raw', or options of samples()");
  }
  if (rollups === false && (raw === undefined || raw === false)) {
    reader.fault('raw', 'is off beside rollups: nothing is read', "give rollups: 'metrics.rollup', or raw: true");
  }
  if (faults.length > 0) throw faultsError('job-invalid', "job 'tsdb-writer'", faults);
}
