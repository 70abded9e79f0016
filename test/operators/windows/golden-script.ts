// Owns the language of golden scripts for operators: commands a line each, what they put out behind `>`. `play` runs
// the commands and returns the script with the output as it really is, to be compared with the file.

import { MergedStats } from '#operators/aggregates/merged-stats.ts';
import { Stats } from '#operators/aggregates/stats.ts';
import { EXCHANGE_DATA, EXCHANGE_IDLE, ExchangeRecord } from '#operators/formats/exchange-block.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { ExchangeSink } from '#operators/sinks/exchange-sink.ts';
import { KeyBySeries } from '#operators/transforms/key-by-series.ts';
import { MergedWindow } from '#operators/windows/merged-window.ts';
import { TumblingWindow } from '#operators/windows/tumbling-window.ts';
import { Batch } from '#runtime/task/contract.ts';
import { CollectedOutput } from '../sinks/collected-output.ts';
import { type BuildStage, OperatorRig, type Row } from './operator-rig.ts';

const STAGES: Readonly<
  Record<string, (words: readonly string[], keys: KeySlots) => { build: BuildStage; partitions: number }>
> = {
  windows: (words) => ({ build: windows(words), partitions: 1 }),
  exchange: ([partitions, , interval], keys) => ({
    partitions: Number(partitions),
    build: () => {
      const sink = new ExchangeSink({
        id: 'exchange',
        sinkIndex: 0,
        topic: 'x',
        keys: keys.table,
        watermarkIntervalMs: timeOf(interval),
      });
      return { head: sink, operators: [sink] };
    },
  }),
  keys: ([ttl], keys) => ({
    partitions: 1,
    build: (collect) => {
      keys.renew();
      const keyBy = new KeyBySeries({
        id: 'keys',
        table: keys.table,
        keyTtlMs: timeOf(ttl),
        users: [],
        next: [collect('out')],
      });
      return { head: keyBy, operators: [keyBy] };
    },
  }),
};

//   stage windows SIZE… lateness TIME    a tumbling window and merged ones behind it
//   stage exchange PARTITIONS every TIME the writing end of an exchange
//   stage keys TTL                       keyBy(series) with eviction
//   sample (KEY TIME VALUE)…             one log record
//   watermark TIME [budget N]            the watermark arrives; N firings, then the entry ends
//   continue [budget N]                  the next entry fires what is left
//   clock TIME · end [idle]              the clock moves · the entry ends
//   restart                              goes on from pages alone

export function play(script: string): string {
  const lines: string[] = [];
  let stage: Stage | null = null;
  for (const line of script.split('\n')) {
    if (line.startsWith('>')) continue;
    lines.push(line);
    const [command, ...words] = line.split('#')[0].trim().split(/\s+/);
    if (command === '') continue;
    if (command === 'stage') stage = new Stage(words);
    else if (stage === null) throw new Error(`'${line}' stands before a stage`);
    else lines.push(...stage.run(command, words).map((output) => `> ${output}`));
  }
  return lines.join('\n');
}

function windows(words: readonly string[]): BuildStage {
  const sizes = words.slice(0, words.indexOf('lateness'));
  const allowedLatenessMs = timeOf(words[words.length - 1]);
  return (collect) => {
    const merged = sizes.slice(1).map(
      (size) =>
        new MergedWindow<MergedStats>({
          id: size,
          sizeMs: timeOf(size),
          paneMs: timeOf(sizes[0]),
          allowedLatenessMs,
          makeAggregate: () => new MergedStats(),
          results: [collect(size)],
        }),
    );
    const first = new TumblingWindow({
      id: sizes[0],
      sizeMs: timeOf(sizes[0]),
      allowedLatenessMs,
      aggregate: new Stats(),
      results: [collect(sizes[0]), ...merged],
      late: [collect('late')],
    });
    return { head: first, operators: [first, ...merged] };
  };
}

/** Keys of the script and their slots. */
class KeySlots {
  table = new SeriesTable({ stateId: 'series' });

  constructor() {
    this.table.open({ register: () => ({ epoch: 1, touch: () => {} }) });
  }

  /** For stages that own the table: a new one, opened and restored with them. */
  renew(): void {
    this.table = new SeriesTable({ stateId: 'series' });
  }

  slotOf(key: string): number {
    return this.table.slotOfText(key);
  }

  keyOf(slot: number): string {
    return this.table.canonicalBytes(slot).toString();
  }
}

class Stage {
  readonly #keys = new KeySlots();
  readonly #output = new CollectedOutput();
  readonly #rig: OperatorRig;

  constructor([kind, ...words]: readonly string[]) {
    const { build, partitions } = STAGES[kind](words, this.#keys);
    this.#rig = new OperatorRig(build, { output: this.#output, partitionCount: () => partitions });
  }

  run(command: string, words: readonly string[]): string[] {
    const rig = this.#rig;
    if (command === 'sample') rig.process(rowsOf(words, this.#keys));
    else if (command === 'watermark' || command === 'continue') {
      if (command === 'watermark') rig.watermarkMs = timeOf(words[0]);
      const budget = words.indexOf('budget');
      const done = rig.fireDue(budget < 0 ? Number.POSITIVE_INFINITY : Number(words[budget + 1]));
      return done ? this.#drain() : [...this.#drain(), 'stopped'];
    } else if (command === 'clock') rig.clockMs = timeOf(words[0]);
    else if (command === 'end') rig.endEntry(words[0] === 'idle');
    else if (command === 'restart') rig.restart();
    else throw new Error(`unknown command '${command}'`);
    return this.#drain();
  }

  #drain(): string[] {
    const { results, rows, counts } = this.#rig.collected;
    const lines = results.map(
      (r) =>
        `${r.step} ${this.#keys.keyOf(r.slot)} [${clockOf(r.startMs)},${clockOf(r.endMs)}) count ${r.count} sum ${r.sum}` +
        ` min ${r.min} max ${r.max} p50 ${r.p50} p95 ${r.p95} p99 ${r.p99} revision ${r.revision}`,
    );
    for (const row of rows) {
      lines.push(`${row.step} ${this.#keys.keyOf(row.slot)} ${clockOf(row.timeMs)} ${row.value} slot ${row.slot}`);
    }
    lines.push(...this.#output.records.map(({ partition, value }) => blockText(partition, value!)));
    for (const [name, count] of counts) lines.push(`${count} × ${name}`);
    results.length = rows.length = this.#output.records.length = 0;
    counts.clear();
    return lines;
  }
}

function rowsOf(words: readonly string[], keys: KeySlots): Row[] {
  const rows: Row[] = [];
  for (let i = 0; i + 2 < words.length; i += 3) {
    rows.push({ slot: keys.slotOf(words[i]), timeMs: timeOf(words[i + 1]), value: Number(words[i + 2]) });
  }
  return rows;
}

function blockText(partition: number, value: Buffer): string {
  const record = new ExchangeRecord();
  record.read(value, 0, value.length);
  const head = `partition ${partition} watermark ${clockOf(record.watermarkMs)}`;
  if (record.kind !== EXCHANGE_DATA) return record.kind === EXCHANGE_IDLE ? `${head} idle` : head;
  const batch = new Batch(1);
  record.rowsInto(
    batch,
    Int32Array.from({ length: record.keyCount }, (_, k) => k),
  );
  const rows = Array.from({ length: batch.count }, (_, i) => {
    const key = value.toString('utf8', record.keyStart[batch.key[i]], record.keyEnd[batch.key[i]]);
    return `${key} ${clockOf(batch.timestampMs[i])} ${batch.value[i]}`;
  });
  return `${head}: ${rows.join(', ')}`;
}

/** `-1:05` or `1:05.250` (minutes), `90s`, `5m`, `1h`. */
function timeOf(text: string): number {
  const unit = /^(\d+)(s|m|h)$/.exec(text);
  if (unit !== null) return Number(unit[1]) * { s: 1_000, m: 60_000, h: 3_600_000 }[unit[2] as 's' | 'm' | 'h'];
  const clock = /^(-?)(\d+):(\d\d(?:\.\d{1,3})?)$/.exec(text);
  if (clock === null) throw new Error(`'${text}' is no time`);
  return (clock[1] === '-' ? -1 : 1) * (Number(clock[2]) * 60_000 + Math.round(Number(clock[3]) * 1000));
}

function clockOf(timeMs: number): string {
  if (!Number.isFinite(timeMs)) return String(timeMs);
  const size = Math.abs(timeMs);
  const millis = size % 1000 === 0 ? '' : `.${String(size % 1000).padStart(3, '0')}`;
  const seconds = String(Math.floor(size / 1000) % 60).padStart(2, '0');
  return `${timeMs < 0 ? '-' : ''}${Math.floor(size / 60_000)}:${seconds}${millis}`;
}
