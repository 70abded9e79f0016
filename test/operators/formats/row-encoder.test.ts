import avsc from 'avsc';
import { expect, test } from 'vitest';
import { ROLLUP_ROW_SCHEMA, type RollupRow, type RowEncoder, rowEncoder } from '#operators/formats/row-encoder.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { referenceRemoteWrite } from '#test/operators/formats/reference-remote-write.ts';
import { pick, type Random, seeded } from '#test/operators/formats/sample-generator.ts';

const registry = { register: () => ({ epoch: 1, touch: () => {} }) };
const NAMES = ['cpu', 'http:requests', '{"odd name"}', 'größe'];
const LABELS = ['', '{host="a"}', '{Zone="z",a="1",host="h\\"\\\\\\n"}', `{x="${'y'.repeat(300)}"}`];

function row(next: Random): RollupRow {
  const windowStartMs = pick(next, [0, -60_000, 1_700_000_040_000, 2 ** 33]);
  const value = (): number => (next() - 0.5) * 10 ** Math.floor(next() * 30);
  return {
    windowStartMs,
    windowEndMs: windowStartMs + 60_000,
    count: Math.floor(next() * 10 ** Math.floor(next() * 12)),
    sum: value(),
    min: value(),
    max: pick(next, [0, -0, 5e-324]),
    avg: value(),
    p50: value(),
    p95: value(),
    p99: value(),
    run: pick(next, [0, 3]),
    revision: pick(next, [0, 1, 200]),
  };
}

/** Encodes rows of random series one after the other; gives what stood in each record, with the row. */
function each(format: 'avro' | 'remote-write', check: (bytes: Buffer, row: RollupRow, series: string) => void): void {
  const next = seeded(3);
  const table = new SeriesTable({ stateId: 'test/series' });
  table.open(registry);
  const encoder: RowEncoder = rowEncoder(format, '5m', table);
  const out = new ByteWriter(16);
  for (let i = 0; i < 3_000; i++) {
    const name = pick(next, NAMES);
    const labels = pick(next, LABELS);
    const series = name.startsWith('{') && labels !== '' ? name.replace('}', `,${labels.slice(1)}`) : name + labels;
    const slot = table.slotOfText(series);
    const made = row(next);
    out.clear();
    encoder.encode(out, slot, made);
    check(out.toBytes(), made, series);
    // Slots get other series now and then.
    if (i % 100 === 0) for (let generation = 0; generation < 3; generation++) table.evict(() => false);
  }
}

test('Avro rows are what avsc reads with the schema', () => {
  const type = avsc.Type.forSchema(JSON.parse(JSON.stringify(ROLLUP_ROW_SCHEMA)));
  each('avro', (bytes, made, series) => {
    const read = type.fromBuffer(bytes);
    const { windowEndMs, windowStartMs, ...values } = made;
    expect({ ...read, metric_name: '', labels: {} }).toEqual({
      ...values,
      window_start: windowStartMs,
      window_end: windowEndMs,
      resolution: '5m',
      metric_name: '',
      labels: {},
    });
    expect(series.startsWith(read.metric_name) || series.startsWith('{"odd name"')).toBe(true);
    for (const [name, value] of Object.entries(read.labels))
      expect(series).toContain(`${name}=${JSON.stringify(value)}`);
  });
});

test('remote-write rows are the eight series of a row at the end of its window', () => {
  each('remote-write', (bytes, made, series) => {
    const { faults, rows } = referenceRemoteWrite(bytes, Number.MAX_SAFE_INTEGER);
    expect(faults).toEqual([]);
    const values = ['count', 'sum', 'min', 'max', 'avg', 'p50', 'p95', 'p99'] as const;
    const named = (value: string) =>
      series.startsWith('{')
        ? series.replace('odd name', `odd name:5m:${value}`)
        : series.replace(/^[^{]+/, `$&:5m:${value}`);
    expect(rows).toEqual(
      values.map((name) => ({ series: named(name), timestampMs: made.windowEndMs, value: made[name] })),
    );
  });
});
