// Owns the oracle's own reading of a remote write request: snappy's package, then the protobuf of WriteRequest field by
// field. Shares nothing with the encoder it judges.

import { uncompressSync } from 'snappy';
import { canonicalText } from '#test/integration/oracle/placement.ts';

export interface WrittenSample {
  /** `name{label="…"}` */
  readonly series: string;
  readonly timestampMs: number;
  readonly value: number;
}

interface Field {
  readonly number: number;
  readonly bytes: Buffer;
  readonly integer: bigint;
}

export function readWriteRequest(body: Uint8Array): WrittenSample[] {
  const samples: WrittenSample[] = [];
  for (const series of fieldsOf(Buffer.from(uncompressSync(Buffer.from(body)) as Buffer))) {
    const labels: (readonly [string, string])[] = [];
    const points: Omit<WrittenSample, 'series'>[] = [];
    for (const field of fieldsOf(series.bytes)) {
      const parts = fieldsOf(field.bytes);
      if (field.number === 1) labels.push([String(parts[0].bytes), String(parts[1].bytes)]);
      else if (field.number === 2) points.push(pointOf(parts));
    }
    const name = labels.find(([label]) => label === '__name__')?.[1] ?? '';
    const text = canonicalText(
      name,
      labels.filter(([label]) => label !== '__name__'),
    );
    for (const point of points) samples.push({ series: text, ...point });
  }
  return samples;
}

/** A number that is 0 is left out. */
function pointOf(parts: readonly Field[]): { readonly timestampMs: number; readonly value: number } {
  const value = parts.find(({ number }) => number === 1)?.bytes.readDoubleLE() ?? 0;
  const timestampMs = Number(BigInt.asIntN(64, parts.find(({ number }) => number === 2)?.integer ?? 0n));
  return { timestampMs, value };
}

function fieldsOf(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >> 3;
    if ((tag & 7) === 0) fields.push({ number, bytes: Buffer.alloc(0), integer: varint() });
    else {
      const size = (tag & 7) === 1 ? 8 : Number(varint());
      fields.push({ number, bytes: bytes.subarray(at, at + size), integer: 0n });
      at += size;
    }
  }
  return fields;
}
