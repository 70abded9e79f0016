// Owns interpreting the committed entries of tasks that take records of any shape: which record each entry took, under
// which clock and watermark. What a task makes of them is a model's. Knows the rules of entries, and nothing of the
// engine.

import { codeOf } from '#test/simulation/generation.ts';
import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import type { CommittedEntry } from '#test/simulation/oracle/commit-chain.ts';
import type { ExchangedRecord } from '#test/simulation/oracle/exchange-records.ts';
import type { RecordModel, TakenRow } from '#test/simulation/oracle/record-model.ts';
import type { BadRecord } from '#test/simulation/oracle/task-model.ts';
import { require } from '#test/simulation/oracle/violation.ts';

export interface RecordRules {
  readonly outOfOrdernessMs: number;
  readonly maxSkewMs: number;
  /** Of the clock of the entry before it, as where things go outside before the commit. @default false */
  readonly skewByEntryBefore?: boolean;
  /** Event time of a record that is one. @default `at` */
  readonly eventMs?: (value: unknown) => number;
}

/** What an entry ends with. */
export interface StoryEntry {
  readonly entry: CommittedEntry;
  readonly watermarkMs: number;
  /** Whether it may call itself idle to those behind it. */
  readonly mayBeIdle: boolean;
}

export interface RecordStory {
  readonly entries: readonly StoryEntry[];
  readonly bad: readonly BadRecord[];
  /** Everything that was taken, in order. */
  readonly taken: readonly TakenRow[];
}

/** A task that reads JSON records with their event time in `at`. */
export function interpretRecords(
  chain: readonly CommittedEntry[],
  input: readonly ArchivedRecord[],
  rules: RecordRules,
  model: RecordModel,
): RecordStory {
  const entries: StoryEntry[] = [];
  const bad: BadRecord[] = [];
  const taken: TakenRow[] = [];
  const clock = new EntryClocks(model, chain);
  let at = input.findIndex((record) => record.offset >= (chain[0]?.endOffset ?? 0));
  if (at < 0) at = input.length;
  for (let n = 1; n < chain.length; n++) {
    const entry = chain[n];
    const idleMs = clock.begin(entry, chain[n - 1]);
    const { clockMs } = rules.skewByEntryBefore ? chain[n - 1] : entry;
    if (idleMs > 0) model.advance(model.watermarkMs + idleMs);
    for (; at < input.length && input[at].offset < entry.endOffset; at++) {
      const record = input[at];
      const row = readRow(record, clockMs + rules.maxSkewMs, rules);
      if (row === null) bad.push({ record, partly: false, entry: entry.number });
      else {
        taken.push(row);
        model.take(row);
        model.advance(row.timestampMs - rules.outOfOrdernessMs);
      }
    }
    const mayBeIdle = entry.idleSinceMs !== null && entry.endOffset === chain[n - 1].endOffset;
    entries.push({ entry, watermarkMs: model.watermarkMs, mayBeIdle });
  }
  return { entries, bad, taken };
}

/** A task behind an exchange. */
export function interpretExchanged(
  chain: readonly CommittedEntry[],
  input: readonly ExchangedRecord[],
  writers: number,
  model: RecordModel,
): RecordStory {
  const entries: StoryEntry[] = [];
  const taken: TakenRow[] = [];
  const clock = new EntryClocks(model, chain);
  const contributions = new Array<number>(writers).fill(Number.NEGATIVE_INFINITY);
  const idle = new Array<boolean>(writers).fill(false);
  let largestMs = Number.NEGATIVE_INFINITY;
  let at = 0;
  for (let n = 1; n < chain.length; n++) {
    const entry = chain[n];
    clock.begin(entry, chain[n - 1]);
    for (; at < input.length && input[at].record.offset < entry.endOffset; at++) {
      const { kind, rows, writer, watermarkMs } = input[at];
      for (const row of rows) {
        taken.push(row);
        model.take(row);
      }
      largestMs = Math.max(largestMs, watermarkMs);
      contributions[writer] = Math.max(contributions[writer], kind === 'idle' ? largestMs : watermarkMs);
      idle[writer] = kind === 'idle';
      model.advance(Math.min(...contributions));
    }
    entries.push({ entry, watermarkMs: model.watermarkMs, mayBeIdle: idle.every((one) => one) });
  }
  return { entries, bad: [], taken };
}

/** Moves a model's clock with the entries, and knows how long it was idle. */
class EntryClocks {
  readonly #model: RecordModel;
  /** Firings of clock timers that are due and were not in an entry yet. */
  #owed = 0;

  constructor(model: RecordModel, chain: readonly CommittedEntry[]) {
    this.#model = model;
    model.clockMs = chain[0]?.clockMs ?? 0;
  }

  /** An entry begins: clock timers first, then idle time, unless they filled the entry. */
  begin(entry: CommittedEntry, before: CommittedEntry): number {
    const model = this.#model;
    model.entry = entry.number;
    model.code = codeOf(entry.version);
    model.onEntry();
    // What was asked for when its time had come already is as what the entry before left over: under its clock.
    this.#owed += model.tick(before.clockMs);
    if (entry.clockMs > before.clockMs) this.#owed += model.tick(entry.clockMs);
    this.#owed -= entry.clockFirings;
    require(this.#owed >= 0, 'timers', () => `entry ${entry.number} fired ${-this.#owed} timers of the clock too many`);
    if (entry.idleSinceMs === null || this.#owed > 0) return 0;
    return Math.max(0, entry.clockMs - Math.max(before.clockMs, entry.idleSinceMs));
  }
}

/** Null when it is a bad record. */
function readRow(record: ArchivedRecord, latestMs: number, { eventMs }: RecordRules): TakenRow | null {
  let value: { readonly at?: unknown } | null;
  try {
    value = JSON.parse(String(record.value));
  } catch {
    return null;
  }
  const at = value?.at;
  if (typeof at !== 'number' || !Number.isSafeInteger(at)) return null;
  const timestampMs = eventMs?.(value) ?? at;
  if (!(timestampMs <= latestMs)) return null;
  const { offset, partition, topic } = record;
  return { key: '', timestampMs, value, originTopic: topic, originPartition: partition, originOffset: offset };
}
