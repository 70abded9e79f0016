// Owns what the tasks of the rollup job must have put out, interpreted from committed entries and input logs alone:
// entry by entry, record by record. Knows the rules of watermarks, idleness and lateness, and nothing of the engine.

import { judge, type Sample } from '#test/integration/oracle/sample-judge.ts';
import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import type { CommittedEntry } from '#test/simulation/oracle/commit-chain.ts';
import type { ExchangedRecord, ExchangedSample } from '#test/simulation/oracle/exchange-records.ts';
import type { RollupModel } from '#test/simulation/oracle/rollup-model.ts';

export interface SourceRules {
  readonly outOfOrdernessMs: number;
  readonly maxSkewMs: number;
}

/** A sample with the record it came in. */
export interface PlacedSample extends Sample {
  readonly record: ArchivedRecord;
}

export interface LateSample {
  readonly series: string;
  readonly timestampMs: number;
  readonly value: number;
  readonly originPartition: number;
  readonly originOffset: number;
  readonly entry: number;
}

export interface BadRecord {
  readonly record: ArchivedRecord;
  readonly partly: boolean;
  readonly entry: number;
}

/** What one entry of a source task took in. */
export interface SourceEntry {
  readonly entry: CommittedEntry;
  readonly samples: readonly PlacedSample[];
  readonly watermarkMs: number;
  readonly tookInput: boolean;
}

export interface SourceStory {
  readonly entries: readonly SourceEntry[];
  readonly bad: readonly BadRecord[];
  readonly late: readonly LateSample[];
}

/** Interprets a task that reads samples; `model` does the windows when the task does them itself. `begunMs`: its watermark before. */
export function interpretSource(
  chain: readonly CommittedEntry[],
  input: readonly ArchivedRecord[],
  rules: SourceRules,
  model: RollupModel | null,
  begunMs = Number.NEGATIVE_INFINITY,
): SourceStory {
  const entries: SourceEntry[] = [];
  const bad: BadRecord[] = [];
  const late: LateSample[] = [];
  let watermarkMs = begunMs;
  let at = input.findIndex((record) => record.offset >= (chain[0]?.endOffset ?? 0));
  if (at < 0) at = input.length;
  for (let n = 1; n < chain.length; n++) {
    const entry = chain[n];
    if (model !== null) model.entry = entry.number;
    if (entry.idleSinceMs !== null) {
      watermarkMs += Math.max(0, entry.clockMs - Math.max(chain[n - 1].clockMs, entry.idleSinceMs));
      model?.advance(watermarkMs);
    }
    const samples: PlacedSample[] = [];
    const first = at;
    for (; at < input.length && input[at].offset < entry.endOffset; at++) {
      const record = input[at];
      const judgement = judge(record.value, entry.clockMs + rules.maxSkewMs);
      if (judgement.badParts > 0) {
        bad.push({ record, partly: judgement.badParts < judgement.parts, entry: entry.number });
      }
      let largestMs = Number.NEGATIVE_INFINITY;
      for (const sample of judgement.samples) {
        if (!Number.isFinite(sample.value)) continue;
        samples.push({ ...sample, record });
        largestMs = Math.max(largestMs, sample.timestampMs);
        if (model !== null && !model.take(sample)) {
          const { series, timestampMs, value } = sample;
          const origin = { originPartition: record.partition, originOffset: record.offset };
          late.push({ series, timestampMs, value, ...origin, entry: entry.number });
        }
      }
      watermarkMs = Math.max(watermarkMs, largestMs - rules.outOfOrdernessMs);
      model?.advance(watermarkMs);
    }
    entries.push({ entry, samples, watermarkMs, tookInput: at > first || entry.endOffset > chain[n - 1].endOffset });
  }
  return { entries, bad, late };
}

/** Interprets a task behind an exchange. */
export function interpretExchange(
  chain: readonly CommittedEntry[],
  input: readonly ExchangedRecord[],
  writers: number,
  model: RollupModel,
): readonly LateSample[] {
  const late: LateSample[] = [];
  const contributions = new Array<number>(writers).fill(Number.NEGATIVE_INFINITY);
  let largestMs = Number.NEGATIVE_INFINITY;
  let at = 0;
  for (const entry of chain.slice(1)) {
    model.entry = entry.number;
    for (; at < input.length && input[at].record.offset < entry.endOffset; at++) {
      const { kind, samples, writer, watermarkMs } = input[at];
      for (const sample of samples) if (!model.take(sample)) late.push(lateOf(sample, entry));
      largestMs = Math.max(largestMs, watermarkMs);
      const word = kind === 'idle' ? largestMs : watermarkMs;
      contributions[writer] = Math.max(contributions[writer], word);
      model.advance(Math.min(...contributions));
    }
  }
  return late;
}

function lateOf(sample: ExchangedSample, entry: CommittedEntry): LateSample {
  const { series, timestampMs, value, originPartition, originOffset } = sample;
  return { series, timestampMs, value, originPartition, originOffset, entry: entry.number };
}
