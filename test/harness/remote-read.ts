// Owns reading samples back from Prometheus by its remote-read protocol, which hides nothing: queries leave stale markers
// out. Values as the integers that their bits are.

import { compressSync, uncompressSync } from 'snappy';
import type { TsdbServer } from '#test/harness/tsdb.ts';
import { seriesText } from '#test/harness/tsdb.ts';
import { bytesField, type Field, fieldsOf, integer } from '#test/operators/formats/protobuf-bytes.ts';

/** Bits by timestamp, by series, of series whose name matches. */
export async function readBits(
  server: TsdbServer,
  namePattern: string,
  fromMs: number,
  toMs: number,
): Promise<Map<string, Map<number, bigint>>> {
  const matches = bytesField(3, integer(1, 2), bytesField(2, '__name__'), bytesField(3, namePattern));
  const query = bytesField(1, integer(1, fromMs), integer(2, toMs), matches);
  const body = compressSync(query, { copyOutputData: true }) as Buffer;
  const headers = {
    'content-type': 'application/x-protobuf',
    'content-encoding': 'snappy',
    'x-prometheus-remote-read-version': '0.1.0',
  };
  const response = await fetch(`${server.address}/api/v1/read`, {
    method: 'POST',
    headers,
    body: new Uint8Array(body),
  });
  if (!response.ok) throw new Error(`remote read answers ${response.status}: ${await response.text()}`);
  const answer = uncompressSync(Buffer.from(await response.arrayBuffer()), { asBuffer: true }) as Buffer;
  const read = new Map<string, Map<number, bigint>>();
  for (const result of all(fieldsOf(answer), 1)) {
    for (const series of all(fieldsOf(result.bytes), 1)) {
      const fields = fieldsOf(series.bytes);
      const labels = all(fields, 1).map(({ bytes }) => fieldsOf(bytes).map((field) => field.bytes.toString()));
      read.set(seriesText(Object.fromEntries(labels)), new Map(all(fields, 2).map(sampleOf)));
    }
  }
  return read;
}

function all(fields: readonly Field[], number: number): Field[] {
  return fields.filter((field) => field.number === number);
}

function sampleOf({ bytes }: Field): [number, bigint] {
  const fields = fieldsOf(bytes);
  const value = all(fields, 1)[0]?.bytes.readBigUInt64LE() ?? 0n;
  return [Number(all(fields, 2)[0]?.varint ?? 0n), value];
}
