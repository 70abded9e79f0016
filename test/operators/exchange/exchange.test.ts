import { describe, expect, test } from 'vitest';
import { EXCHANGE_DATA, ExchangeRecord } from '#operators/formats/exchange-block.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { BLOCK_BYTES_MAX, ExchangeSink } from '#operators/sinks/exchange-sink.ts';
import { ExchangeSource } from '#operators/sources/exchange-source.ts';
import { murmur2 } from '#runtime/std/murmur2.ts';
import { Batch, type DecodeLimits, type ExchangeControl, type SourceContext } from '#runtime/task/contract.ts';
import { CollectedOutput, walkerOver } from '../sinks/collected-output.ts';
import { OperatorRig, type Row } from '../windows/operator-rig.ts';
import { Random } from '../windows/random.ts';
import { StatePages } from '../windows/state-pages.ts';

const PARTITIONS = 5;
const WRITER = 2;
const INTERVAL_MS = 1000;
const LIMITS: DecodeLimits = {
  cutTimestampMs: Number.POSITIVE_INFINITY,
  stopDelta: Number.MAX_SAFE_INTEGER,
  skipBelowDelta: 0,
  skewLimitMs: Number.POSITIVE_INFINITY,
  rowsMax: 2048,
};

interface WritingEnd {
  readonly rig: OperatorRig;
  readonly output: CollectedOutput;
}

function writingEnd(keys: readonly string[]): WritingEnd {
  const output = new CollectedOutput();
  const rig = new OperatorRig(
    () => {
      const table = new SeriesTable({ stateId: 'series' });
      table.open(new StatePages());
      for (const key of keys) table.slotOfText(key);
      const sink = new ExchangeSink({
        id: 'by-series',
        sinkIndex: 4,
        topic: 'x',
        keys: table,
        watermarkIntervalMs: INTERVAL_MS,
      });
      return { head: sink, operators: [sink] };
    },
    { output, partitionCount: () => PARTITIONS, partition: WRITER },
  );
  return { rig, output };
}

interface ReadRow {
  readonly key: string;
  readonly timeMs: number;
  readonly value: number;
  readonly origin: Row['origin'];
}

/** Reads records as the next stage does, one decode per record. */
function readAll(values: readonly Buffer[]): { readonly rows: ReadRow[]; readonly controls: ExchangeControl[] } {
  const table = new SeriesTable({ stateId: 'keys' });
  const source = new ExchangeSource({ id: 'exchange', table });
  source.open({ state: new StatePages(), count: () => {} } as unknown as SourceContext);
  const walker = walkerOver(values);
  const rows: ReadRow[] = [];
  const controls: ExchangeControl[] = [];
  while (walker.left > 0) {
    const batch = new Batch(8);
    source.decode({ topic: 'x', partition: 0, baseOffset: 0n, baseTimestampMs: 0 }, walker, LIMITS, batch);
    expect(source.consumedDelta).toBe(controls.length + 1);
    controls.push(source.control!);
    for (let i = 0; i < batch.count; i++) {
      rows.push({
        key: table.canonicalBytes(batch.key[i]).toString(),
        timeMs: batch.timestampMs[i],
        value: batch.value[i],
        origin: { topic: batch.originTopic, partition: batch.originPartition[i], offset: batch.originOffset[i] },
      });
    }
  }
  return { rows, controls };
}

const KEYS = Array.from({ length: 40 }, (_, i) => `cpu{host="h-${i}"}`);

function randomRows(random: Random, count: number): Row[] {
  return Array.from({ length: count }, (_, i) => ({
    slot: random.below(KEYS.length),
    timeMs: 1_700_000_000_000 + random.below(5000),
    value: random.next(),
    origin: { topic: 'metrics.raw', partition: WRITER, offset: i },
  }));
}

function partitionOfKey(key: string): number {
  return (murmur2(Buffer.from(key)) & 0x7fffffff) % PARTITIONS;
}

describe('rows through an exchange', () => {
  test('arrive on the partition of their key, in order and with their origin', () => {
    const { rig, output } = writingEnd(KEYS);
    const rows = randomRows(new Random(1), 3000);
    rig.process(rows);
    expect(output.records).toHaveLength(0);
    expect(rig.wantsEntry()).toBe(true);
    rig.watermarkMs = 1_700_000_000_000;
    rig.endEntry();
    expect(output.records.map(({ partition }) => partition)).toEqual([0, 1, 2, 3, 4]);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const read = readAll(output.values(partition));
      const wanted = rows.filter((row) => partitionOfKey(KEYS[row.slot]) === partition);
      expect(read.rows).toEqual(
        wanted.map(({ slot, timeMs, value, origin }) => ({ key: KEYS[slot], timeMs, value, origin })),
      );
      expect(read.controls).toEqual([{ writer: WRITER, watermarkMs: 1_700_000_000_000, idle: false }]);
    }
    for (const record of output.records) expect([record.sinkIndex, record.topic, record.key]).toEqual([4, 'x', null]);
  });

  test('make the same records however batches were cut', () => {
    const random = new Random(2);
    const rows = randomRows(random, 60_000);
    const write = (cut: () => number) => {
      const { rig, output } = writingEnd(KEYS);
      for (let entry = 0; entry < 2; entry++) {
        for (let at = 0; at < rows.length; ) {
          const next = at + cut();
          rig.process(rows.slice(at, next));
          // The watermark moves between batches; blocks sent within the entry must not show it.
          rig.watermarkMs = entry * 1e6 + next;
          at = next;
        }
        rig.watermarkMs = (entry + 1) * 1e6;
        rig.endEntry();
      }
      return output.records.map(
        ({ partition, timestampMs, value }) => `${partition} ${timestampMs} ${value!.toString('base64')}`,
      );
    };
    const whole = write(() => rows.length);
    expect(write(() => 1 + random.below(5000))).toEqual(whole);
    expect(write(() => 4096)).toEqual(whole);
    expect(whole.length).toBeGreaterThan(2 * PARTITIONS * 3);
  });

  test('are cut into blocks of 4096 rows or 256 KiB, the last of which says the watermark', () => {
    const { rig, output } = writingEnd(['a']);
    rig.watermarkMs = 7;
    rig.endEntry();
    output.records.length = 0;
    rig.process(Array.from({ length: 2 * 4096 }, (_, i) => ({ slot: 0, timeMs: i, value: i })));
    expect(output.records).toHaveLength(1);
    rig.watermarkMs = 9;
    rig.endEntry();
    const record = new ExchangeRecord();
    const seen = output.records.map(({ partition, value, timestampMs }) => {
      record.read(value!, 0, value!.length);
      return {
        own: partition === partitionOfKey('a'),
        kind: record.kind,
        rows: record.rows,
        said: record.watermarkMs,
        timestampMs,
      };
    });
    expect(seen).toEqual([
      { own: true, kind: EXCHANGE_DATA, rows: 4096, said: 7, timestampMs: 4095 },
      { own: true, kind: EXCHANGE_DATA, rows: 4096, said: 9, timestampMs: 8191 },
    ]);
    const longKeys = Array.from({ length: 100 }, (_, i) => `m{l="${i}${'x'.repeat(20_000)}"}`);
    const long = writingEnd(longKeys);
    long.rig.process(longKeys.map((_, slot) => ({ slot, timeMs: 1, value: 1 })));
    long.rig.endEntry();
    expect(long.output.records.length).toBeGreaterThanOrEqual((100 * 20_000) / BLOCK_BYTES_MAX);
    for (const { value } of long.output.records) expect(value!.length).toBeLessThan(BLOCK_BYTES_MAX + 25_000);
  });

  test('keep their keys from eviction until the entry ends', () => {
    const { rig } = writingEnd(KEYS);
    const used = () => KEYS.map((_, slot) => rig.operators[0].usesKey(slot)).filter(Boolean).length;
    rig.process([{ slot: 3, timeMs: 0, value: 1 }]);
    expect(rig.operators[0].usesKey(3)).toBe(true);
    expect(used()).toBe(1);
    rig.endEntry();
    expect(used()).toBe(0);
  });

  test('are never taken for rows of another topic', () => {
    const { rig, output } = writingEnd(['a']);
    const row = (topic: string, offset: number) => ({
      slot: 0,
      timeMs: 1,
      value: 1,
      origin: { topic, partition: 0, offset },
    });
    rig.process([row('one', 1)]);
    rig.process([row('two', 2)]);
    rig.process([row('one', 3)]);
    rig.endEntry();
    const { rows } = readAll(output.values(partitionOfKey('a')));
    expect(rows.map(({ origin }) => origin?.topic)).toEqual(['one', 'two', 'one']);
  });
});

describe('the watermark of a writer', () => {
  /** What an entry says, as `partition:watermark`, with i for idle and d for data. */
  function entry(
    { rig, output }: WritingEnd,
    clockMs: number,
    watermarkMs: number,
    rows: Row[] = [],
    idle = false,
  ): string[] {
    output.records.length = 0;
    rig.clockMs = clockMs;
    if (rows.length > 0) rig.process(rows);
    rig.watermarkMs = watermarkMs;
    const wanted = rig.wantsEntry(idle);
    rig.endEntry(idle);
    expect(wanted, 'wantsEntry tells whether endEntry sends').toBe(output.records.length > 0);
    const record = new ExchangeRecord();
    return output.records.map(({ partition, value }) => {
      record.read(value!, 0, value!.length);
      return `${partition}:${record.watermarkMs}${record.kind === EXCHANGE_DATA ? 'd' : record.kind === 3 ? 'i' : ''}`;
    });
  }
  const everywhere = (said: string) => [0, 1, 2, 3, 4].map((partition) => `${partition}:${said}`);

  test('is said to every partition at once, then once per interval if it rose', () => {
    const end = writingEnd(KEYS);
    expect(entry(end, 100, Number.NEGATIVE_INFINITY)).toEqual(everywhere('-Infinity'));
    expect(entry(end, 200, 50)).toEqual([]);
    expect(entry(end, 1099, 60)).toEqual([]);
    expect(entry(end, 1100, 70)).toEqual(everywhere('70'));
    expect(entry(end, 5000, 70)).toEqual([]);
    expect(entry(end, 5001, 71)).toEqual(everywhere('71'));
  });

  test('goes with data at once, and idle marks are repeated each interval', () => {
    const end = writingEnd(KEYS);
    entry(end, 0, 10);
    const own = partitionOfKey(KEYS[0]);
    const row = { slot: 0, timeMs: 20, value: 1 };
    expect(entry(end, 500, 20, [row])).toEqual([`${own}:20d`]);
    const others = [0, 1, 2, 3, 4].filter((partition) => partition !== own);
    expect(entry(end, 1000, 20)).toEqual(others.map((partition) => `${partition}:20`));
    expect(entry(end, 2000, 20)).toEqual([]);
    expect(entry(end, 2500, 20, [], true)).toEqual(everywhere('20i'));
    expect(entry(end, 3499, 21, [], true)).toEqual([]);
    expect(entry(end, 3500, 21, [], true)).toEqual(everywhere('21i'));
    expect(entry(end, 4500, 21, [], true)).toEqual(everywhere('21i'));
  });

  test('goes with a savepoint marker to every partition, behind the data, and counts as said', () => {
    const { rig, output } = writingEnd(KEYS);
    rig.process([{ slot: 0, timeMs: 5_000, value: 1, origin: { topic: 't', partition: 0, offset: 0 } }]);
    rig.watermarkMs = 4_000;
    rig.endEntry(true, 'before-upgrade');
    const marker = { writer: WRITER, watermarkMs: 4_000, idle: true, savepoint: 'before-upgrade' };
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const data = { writer: WRITER, watermarkMs: 4_000, idle: false };
      const { controls } = readAll(output.values(partition));
      expect(controls).toEqual(partition === partitionOfKey(KEYS[0]) ? [data, marker] : [marker]);
    }
    rig.clockMs += 1;
    expect(rig.wantsEntry(true)).toBe(false);
    rig.clockMs += INTERVAL_MS;
    expect(rig.wantsEntry(true)).toBe(true);
  });

  test('is remembered through a restart', () => {
    for (let restartAt = 0; restartAt < 40; restartAt++) {
      const random = new Random(restartAt);
      const play = (end: WritingEnd, restart: boolean) => {
        const steps = new Random(77);
        const said: string[][] = [];
        for (let step = 0; step < 40; step++) {
          const rows = steps.chance(0.5) ? [{ slot: steps.below(40), timeMs: step, value: 1 }] : [];
          said.push(entry(end, step * 300, Math.floor(step / 3) * 10, rows, steps.chance(0.2)));
          if (restart && (step === restartAt || random.chance(0.1)))
            expect(end.rig.restart()).toEqual(end.rig.pages.snapshot());
        }
        return { said, pages: end.rig.pages.snapshot() };
      };
      expect(play(writingEnd(KEYS), true)).toEqual(play(writingEnd(KEYS), false));
    }
  });
});

describe('the source of an exchange', () => {
  function source() {
    const made = new ExchangeSource({ id: 'exchange', table: new SeriesTable({ stateId: 'keys' }) });
    made.open({ state: new StatePages(), count: () => {} } as unknown as SourceContext);
    return made;
  }
  const input = { topic: 'x', partition: 3, baseOffset: 100n, baseTimestampMs: 0 };

  function controls(count: number): Buffer[] {
    const { rig, output } = writingEnd(KEYS);
    for (let i = 0; i < count; i++) {
      rig.clockMs = i * INTERVAL_MS;
      rig.watermarkMs = i;
      rig.endEntry();
    }
    return output.values(0);
  }

  test('skips what was consumed, and puts back what lies beyond its stop', () => {
    const walker = walkerOver(controls(6));
    const reader = source();
    const batch = new Batch(4);
    reader.decode(input, walker, { ...LIMITS, skipBelowDelta: 2, stopDelta: 4 }, batch);
    expect([reader.control?.watermarkMs, reader.consumedDelta]).toEqual([2, 3]);
    reader.decode(input, walker, { ...LIMITS, skipBelowDelta: 2, stopDelta: 4 }, batch);
    expect([reader.control?.watermarkMs, reader.consumedDelta]).toEqual([3, 4]);
    reader.decode(input, walker, { ...LIMITS, skipBelowDelta: 2, stopDelta: 4 }, batch);
    expect([reader.control, reader.consumedDelta]).toEqual([null, 4]);
    reader.decode(input, walker, { ...LIMITS, skipBelowDelta: 4, stopDelta: 6 }, batch);
    expect([reader.control?.watermarkMs, reader.consumedDelta]).toEqual([4, 5]);
  });

  test('names topic, partition and offset of a record that it cannot read', () => {
    const failing = (values: (Buffer | null)[]) => () => {
      const reader = source();
      const walker = walkerOver(values);
      while (walker.left > 0) reader.decode(input, walker, LIMITS, new Batch(4));
    };
    expect(failing([...controls(1), Buffer.from('{"a":1}')])).toThrow('x/3 offset 101');
    expect(failing([Buffer.from('{"a":1}')])).toThrow(expect.objectContaining({ code: 'exchange-corrupt' }));
    expect(failing([null])).toThrow(expect.objectContaining({ code: 'exchange-corrupt' }));
    expect(failing([Buffer.alloc(0)])).toThrow(expect.objectContaining({ code: 'exchange-corrupt' }));
  });
});
