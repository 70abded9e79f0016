// Stale markers and other NaN on their way to a time-series database, bit by bit: through functions of the job, held until
// their time is over, through a restart from pages, and into dead letters and late samples.

import { compressSync, uncompressSync } from 'snappy';
import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import { defineJob } from '#jobs/define-job.ts';
import { samples } from '#jobs/descriptions.ts';
import { instantiate } from '#jobs/instantiate.ts';
import type { CompiledJob } from '#jobs/plan.ts';
import { type RemoteWriteOptions, remoteWrite } from '#jobs/tsdb-words.ts';
import type { Receiver } from '#runtime/effect/contract.ts';
import { BATCH_HEADER_BYTES, RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { StageRunner } from '#runtime/task/stage-runner.ts';
import { bytesField, fieldsOf, fixed64, integer } from '#test/operators/formats/protobuf-bytes.ts';
import { label } from '#test/operators/formats/remote-write-generator.ts';
import { StatePages } from '#test/operators/windows/state-pages.ts';

const AT = 1_700_000_000_000;
const STALE = 0x7ff0000000000002n;
const PLAIN = 0x7ff8000000000001n;
const OWN = 0x7ff4000000000007n;
const ONE = 0x3ff0000000000000n;
const BITS = [ONE, STALE, PLAIN, OWN, 0xfff0000000000000n];

interface Wire {
  readonly name: string;
  readonly timestampMs: number;
  readonly bits: bigint;
}

/** Samples of a request, read the slow way; a value as the integer that its bits are. */
function wireOf(body: Uint8Array): Wire[] {
  const message = uncompressSync(Buffer.from(body), { asBuffer: true }) as Buffer;
  return fieldsOf(message).flatMap((series) => {
    const fields = fieldsOf(series.bytes);
    const name = fieldsOf(fields.find(({ number }) => number === 1)?.bytes ?? Buffer.alloc(0))[1].bytes.toString();
    return fields
      .filter(({ number }) => number === 2)
      .map(({ bytes }) => {
        const [value, time] = fieldsOf(bytes);
        return { name, timestampMs: Number(time.varint), bits: value.bytes.readBigUInt64LE() };
      });
  });
}

function requestOf(name: string, atMs: number, bits: bigint): Buffer {
  const sample = bytesField(2, fixed64(1, bits), integer(2, atMs));
  return compressSync(bytesField(1, label('__name__', name), sample)) as Buffer;
}

/** One task of a job, driven entry by entry; `answer` is what the database says to a request. */
class Rig {
  readonly taken: Wire[] = [];
  /** What was put out beside what was sent. */
  readonly aside: (readonly [topic: string, value: unknown])[] = [];
  #runner: StageRunner;
  #pages = new StatePages();
  #offset = 0n;
  readonly #job: CompiledJob;

  constructor(job: CompiledJob, answer: (samples: readonly Wire[]) => number = () => 204) {
    const receiver: Receiver = {
      address: 'test',
      send: async (body) => {
        const samples = wireOf(body);
        const status = answer(samples);
        if (status < 300) this.taken.push(...samples);
        return { status, message: 'as the test says', retryAfter: null, contentType: null };
      },
      close() {},
    };
    this.#job = { ...job, connect: () => receiver };
    this.#runner = this.#start();
  }

  #start(): StageRunner {
    const run = { namespace: 'test', job: 'own', run: 'live', generation: 0 };
    const program = instantiate(this.#job, { stageId: this.#job.plan.stages[0].id, run });
    const partitionCounts = Object.fromEntries(program.outputs.map(({ topic }) => [topic, 1]));
    const options = { program, partition: 0, partitionCounts: { ...partitionCounts, raw: 1 }, writers: 0 };
    const runner = new StageRunner({ ...options, state: this.#pages, count: () => {}, commitBytesMax: 1 << 20 });
    runner.inputOffset = this.#offset;
    runner.clockMs = AT + 60_000;
    return runner;
  }

  /** One entry with these records. */
  async entry(...values: readonly Buffer[]): Promise<void> {
    const runner = this.#runner;
    runner.begin({ clockMs: AT + 60_000, idleSinceMs: null });
    if (values.length > 0) {
      const builder = new RecordBatchBuilder('raw', 0);
      for (const value of values) builder.append(AT, null, 0, 0, value, 0, value.length);
      const { bytes, recordCount } = builder.finish();
      const nextOffset = this.#offset + BigInt(recordCount);
      const range = { bytes, start: BATCH_HEADER_BYTES, end: bytes.length, count: recordCount };
      const place = { baseOffset: this.#offset, baseTimestampMs: AT, skipBelowDelta: 0, nextOffset };
      runner.take({ ...range, ...place, release: () => {} }, 'raw', 0);
      this.#offset = nextOffset;
      while (runner.hasBatch) if (!runner.consume(null)) break;
    }
    runner.end();
    const { signal } = new AbortController();
    const context = { clock: systemClock, logger: silentLogger, signal, task: 't', seed: 's' };
    for (const effect of runner.effects) await effect.flush({ ...context, output: runner.output.outside });
    const walker = new RecordWalker();
    for (const { bytes, recordCount, topic } of runner.output.take()) {
      walker.reset(bytes, BATCH_HEADER_BYTES, bytes.length, recordCount);
      while (walker.next()) {
        const { value } = JSON.parse(bytes.toString('utf8', walker.valueStart, walker.valueEnd));
        this.aside.push([topic, value]);
      }
    }
  }

  restart(): void {
    const [image, saved] = [this.#pages.snapshot(), this.#runner.save()];
    this.#pages = new StatePages();
    this.#runner = this.#start();
    this.#pages.restore(image);
    this.#runner.restore(saved, { clockMs: AT + 60_000, inputOffset: this.#offset });
  }
}

function job(options: Partial<RemoteWriteOptions>, make = false): CompiledJob {
  const target = { name: 'db', url: 'http://127.0.0.1:1/', mode: 'replaceable', ...options } as RemoteWriteOptions;
  return compileJob(
    defineJob({
      name: 'own',
      source: samples({ topic: 'raw', format: 'remote-write', outOfOrderness: '1s' }),
      build: (raw) => {
        const all = make
          ? raw
              .filter('known', ({ metric_name }) => metric_name !== 'x')
              .map('twice', (s) => ({ ...s, value: 2 * s.value }))
          : raw;
        all.to(remoteWrite(target));
      },
    }),
  );
}

const bitsBy = (wire: readonly Wire[]) =>
  wire.map(({ bits, name, timestampMs }) => `${name}@${timestampMs - AT} ${bits.toString(16)}`);
const NAMES = BITS.map((_, i) => `m${i}`);
const EXPECTED = BITS.map((bits, i) => `m${i}@${i} ${bits.toString(16)}`);
const RECORDS = BITS.map((bits, i) => requestOf(NAMES[i], AT + i, bits));

test('a replaceable target gets every bit of what came', async () => {
  const rig = new Rig(job({}));
  await rig.entry(...RECORDS);
  expect(bitsBy(rig.taken)).toEqual(EXPECTED);
});

test('bits stay when the code is hot, between numbers and in large columns', async () => {
  const rig = new Rig(job({ requestSamplesMax: 700 }));
  const expected: string[] = [];
  for (let entry = 0; entry < 20; entry++) {
    const records: Buffer[] = [];
    for (let i = 0; i < 500; i++) {
      const [name, atMs, bits] = [`m${i % 50}`, AT + entry * 500 + i, BITS[(i * 7 + entry) % BITS.length]];
      records.push(requestOf(name, atMs, bits));
      expected.push(`${name}@${atMs - AT} ${bits.toString(16)}`);
    }
    await rig.entry(...records);
  }
  expect(bitsBy(rig.taken)).toEqual(expected);
});

test('a final target gets them when their time is over, also after a restart from pages', async () => {
  const rig = new Rig(job({ mode: 'final' }));
  await rig.entry(...RECORDS);
  expect(rig.taken).toEqual([]);
  rig.restart();
  await rig.entry(requestOf('later', AT + 10_000, ONE));
  await rig.entry();
  expect(bitsBy(rig.taken)).toEqual(EXPECTED);
});

test('functions of the job see NaN; what they make of a stale marker is one, what they make NaN is plain', async () => {
  const rig = new Rig(job({}, true));
  await rig.entry(...RECORDS, requestOf('x', AT, STALE));
  const made = [0x4000000000000000n, STALE, PLAIN, OWN, 0xfff0000000000000n];
  expect(bitsBy(rig.taken)).toEqual(made.map((bits, i) => `m${i}@${i} ${bits.toString(16)}`));
  const divided = compileJob(
    defineJob({
      name: 'own',
      source: samples({ topic: 'raw', format: 'remote-write' }),
      build: (raw) =>
        raw
          .map('nothing', (sample) => ({ ...sample, value: sample.value - sample.value + Number.NaN }))
          .to(remoteWrite({ name: 'db', url: 'http://127.0.0.1:1/', mode: 'replaceable' })),
    }),
  );
  const other = new Rig(divided);
  await other.entry(requestOf('m', AT, ONE));
  expect(bitsBy(other.taken)).toEqual([`m@0 ${PLAIN.toString(16)}`]);
});

test('dead letters and late samples say in JSON what it can say: null for a stale marker, "NaN" for others', async () => {
  const refusing = new Rig(job({}), (samples) => (samples.some(({ name }) => name !== 'm0') ? 400 : 204));
  await refusing.entry(...RECORDS);
  expect(bitsBy(refusing.taken)).toEqual([EXPECTED[0]]);
  const on = (topic: string) => (value: unknown) => [topic, value];
  expect(refusing.aside).toEqual([null, 'NaN', 'NaN', '-Inf'].map(on('raw.dead-letter')));
  const late = new Rig(job({ mode: 'final' }));
  await late.entry(requestOf('later', AT + 10_000, ONE));
  await late.entry(...RECORDS);
  expect(late.aside).toEqual([1, null, 'NaN', 'NaN', '-Inf'].map(on('raw.late')));
});
