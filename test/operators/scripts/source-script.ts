// Owns the language of golden scripts for sources: the log they read, a command a line, and the rows, dead letters and
// controls that each reading gives behind `>`. `play` runs the commands and returns the script with what they gave.

import { SeriesTable } from '#operators/series/series-table.ts';
import { BATCH_HEADER_BYTES, RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { Batch, type DecodeLimits, type Source, type SourceContext, type SourceInput } from '#runtime/task/contract.ts';
import { valueText } from '#test/operators/scripts/script-rows.ts';
import { clockText, timeOf } from '#test/operators/scripts/script-time.ts';
import { Words } from '#test/operators/scripts/script-words.ts';
import { blockOf, SOURCES } from '#test/operators/scripts/source-stages.ts';
import { StatePages } from '#test/operators/windows/state-pages.ts';

//   stage NAME WORD…                     the source (source-stages.ts)
//   log PARTITION/OFFSET [of N]          the log's next records stand from there on; the topic has N partitions
//   record TIME KEY VALUE                appends a record: the log's timestamp, `-` for no key, text to the end of the line
//   tombstone TIME KEY                   appends a record without value
//   block WRITER WATERMARK …             appends a record of an exchange (source-stages.ts)
//   read [cut TIME] [stop OFFSET] [skew TIME] [rows N]     one call: what it gives, and where the next begins
//   slots · restart                      shows the table of series · goes on from pages alone
//
// A StreamError ends the stage.

const TOPIC = 'metrics.raw';

export function play(script: string, restartAlways = false): string {
  const lines: string[] = [];
  let stage: Stage | null = null;
  for (const line of script.split('\n')) {
    if (line.startsWith('>')) continue;
    lines.push(line);
    const [command, ...words] = line.split('#')[0].trim().split(' ');
    if (command === '') continue;
    if (command === 'stage') stage = new Stage(words);
    else if (stage === null) throw new Error(`'${line}' stands before a stage`);
    else {
      try {
        if (restartAlways) stage.restart();
        lines.push(...stage.run(command, words).map((output) => `> ${output}`));
      } catch (error) {
        if (!(error instanceof StreamError)) throw error;
        lines.push(`> failed ${error.code}: ${error.message}`);
        stage = null;
      }
    }
  }
  return lines.join('\n');
}

interface Appended {
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

class Stage {
  readonly #words: readonly string[];
  #pages = new StatePages();
  #table = new SeriesTable({ stateId: 'series' });
  #source: Source;
  #log: Appended[] = [];
  #partition = 0;
  #partitions = 1;
  #baseOffset = 0;
  /** Offset delta of the next record to read. */
  #next = 0;
  #said: string[] = [];

  constructor(words: readonly string[]) {
    this.#words = words;
    this.#source = this.#open();
  }

  restart(): void {
    const image = this.#pages.snapshot();
    this.#pages = new StatePages();
    this.#table = new SeriesTable({ stateId: 'series' });
    this.#source = this.#open();
    this.#pages.restore(image);
  }

  run(command: string, words: readonly string[]): string[] {
    if (command === 'read') return this.#read(new Words(words));
    if (command === 'slots') return [this.#slots()];
    if (command === 'restart') this.restart();
    else if (command === 'log') this.#begin(words);
    else if (command === 'block') this.#log.push({ timestampMs: 0, key: null, value: blockOf(words) });
    else if (command === 'record' || command === 'tombstone') {
      const [time, key, ...value] = words;
      this.#log.push({
        timestampMs: timeOf(time),
        key: key === '-' ? null : Buffer.from(key),
        value: command === 'tombstone' ? null : Buffer.from(value.join(' ')),
      });
    } else throw new Error(`unknown command '${command}'`);
    return [];
  }

  #open(): Source {
    const [name, ...words] = this.#words;
    const sourceOf = SOURCES[name];
    if (sourceOf === undefined) throw new Error(`no source '${name}'`);
    const source = sourceOf(words, this.#table);
    const context: Pick<SourceContext, 'state' | 'partitionCount' | 'count' | 'deadLetter'> = {
      state: this.#pages,
      partitionCount: () => this.#partitions,
      count: (counter, by) => void this.#said.push(`${by} × ${counter}`),
      deadLetter: ({ offsetDelta }, { baseOffset, topic, partition }, code, message, path) => {
        const at = `${topic}/${partition}/${Number(baseOffset) + offsetDelta}`;
        this.#said.push(`dead letter ${at} ${code}${path === undefined ? '' : ` at ${path}`}: ${message}`);
      },
    };
    source.open(context as SourceContext);
    return source;
  }

  #begin([at, , count]: readonly string[]): void {
    [this.#partition, this.#baseOffset] = at.split('/').map(Number);
    this.#partitions = Number(count ?? 1);
    this.#log = [];
    this.#next = 0;
  }

  /** One batch holds all that was appended; what was read before is below what is to be skipped. */
  #read(it: Words): string[] {
    const builder = new RecordBatchBuilder(TOPIC, this.#partition);
    for (const { key, timestampMs, value } of this.#log) {
      builder.append(timestampMs, key, 0, key?.length ?? 0, value, 0, value?.length ?? 0);
    }
    const { bytes, recordCount } = builder.finish();
    const walker = new RecordWalker();
    walker.reset(bytes, BATCH_HEADER_BYTES, bytes.length, recordCount);
    const input: SourceInput = {
      topic: TOPIC,
      partition: this.#partition,
      baseOffset: BigInt(this.#baseOffset),
      baseTimestampMs: this.#log[0].timestampMs,
    };
    const number = (word: string, otherwise: number) => (it.has(word) ? Number(it.after(word)) : otherwise);
    const limits: DecodeLimits = {
      cutTimestampMs: it.has('cut') ? it.time('cut') : Number.POSITIVE_INFINITY,
      skewLimitMs: it.has('skew') ? it.time('skew') : Number.POSITIVE_INFINITY,
      stopDelta: number('stop', this.#baseOffset + this.#log.length) - this.#baseOffset,
      skipBelowDelta: this.#next,
      rowsMax: number('rows', 1_000),
    };
    const batch = new Batch(1);
    this.#source.decode(input, walker, limits, batch);
    this.#next = this.#source.consumedDelta;
    const lines = Array.from({ length: batch.count }, (_, i) => this.#rowLine(batch, i));
    lines.push(...this.#said.splice(0));
    const { control } = this.#source;
    if (control !== null) {
      lines.push(`writer ${control.writer} watermark ${clockText(control.watermarkMs)}${control.idle ? ' idle' : ''}`);
    }
    return [...lines, `next ${this.#baseOffset + this.#next}`];
  }

  #rowLine(batch: Batch, i: number): string {
    const slot = batch.key[i];
    const named = slot < 0 ? '-' : `${this.#table.canonicalBytes(slot)}`;
    const origin = `${batch.originTopic}/${batch.originPartition[i]}/${batch.originOffset[i]}`;
    return `${named} ${clockText(batch.timestampMs[i])} ${shownOf(batch, i)} slot ${slot} from ${origin}`;
  }

  #slots(): string {
    const slots = Array.from({ length: this.#table.slotCount }, (_, slot) => slot);
    return slots.map((slot) => `${slot} ${this.#table.canonicalBytes(slot)}`).join(', ');
  }
}

function shownOf({ records, rollups, value }: Batch, i: number): string {
  if (records !== null) return JSON.stringify(records[i]);
  if (rollups === null) {
    return valueText(value[i], new BigUint64Array(value.buffer, value.byteOffset, value.length)[i]);
  }
  const { run, revision, values, windowEndMs, windowStartMs } = rollups;
  const window = `[${clockText(windowStartMs[i])},${clockText(windowEndMs[i])})`;
  return `${window} ${values.subarray(i * 8, i * 8 + 8).join(',')} run ${run[i]} revision ${revision[i]}`;
}
