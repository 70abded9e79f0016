// Owns random remote-write requests for tests: plain ones as senders make them, odd ones that protobuf allows, wrong
// ones, and damage before and after compression.

import { compressSync } from 'snappy';
import { bytesField, damaged, double, fixed64, integer } from '#test/operators/formats/protobuf-bytes.ts';
import { pick, type Random } from '#test/operators/formats/sample-generator.ts';

const NAMES = ['__name__', 'host', 'region', 'le', '', '__proto__', 'a b', 'ключ', '1', '\u{1f600}', '\uffee'];
const VALUES = ['', 'cpu', 'up', 'h-1', 'eu', '"', '\\', 'a\nb', 'ü', 'x'.repeat(200)];
const STALE = 0x7ff0000000000002n;

export function remoteWriteRecord(next: Random): Buffer {
  let message = request(next);
  if (next() < 0.15) message = damaged(next, message);
  const block = compressSync(message, { copyOutputData: true });
  return next() < 0.08 ? damaged(next, block) : block;
}

function request(next: Random): Buffer {
  const series: Buffer[] = [];
  for (let i = Math.floor(next() * 3); i >= 0; i--) series.push(next() < 0.6 ? plainSeries(next) : oddSeries(next));
  if (next() < 0.05) series.push(bytesField(3, 'metadata'));
  if (next() < 0.01) series.push(bytesField(5, 'series of a 2.0 request'));
  return Buffer.concat(series);
}

export function label(name: Buffer | string, value: Buffer | string): Buffer {
  return bytesField(1, bytesField(1, name), bytesField(2, value));
}

export function sample(value: number, timestampMs: bigint | number): Buffer {
  return bytesField(2, double(1, value), integer(2, timestampMs));
}

function plainSeries(next: Random): Buffer {
  const labels = [
    label('__name__', pick(next, ['cpu_usage', 'up'])),
    label('host', `h-${Math.floor(next() * 60)}`),
    label('region', pick(next, ['eu-1', 'eu-2', 'us'])),
  ];
  const samples: Buffer[] = [];
  for (let i = Math.floor(next() * 3); i >= 0; i--) {
    samples.push(sample(Math.round(next() * 10000) / 100, 1700000000000 + Math.floor(next() * 89000)));
  }
  return bytesField(1, ...labels, ...samples);
}

function oddSeries(next: Random): Buffer {
  const fields: Buffer[] = [];
  if (next() < 0.9) fields.push(label('__name__', pick(next, ['cpu_usage', 'http.requests', 'größe', 'a{b}', ''])));
  for (let i = Math.floor(next() * 5); i > 0; i--) fields.push(oddLabel(next));
  if (next() < 0.02)
    for (let i = 0; i < pick(next, [64, 70, 300]); i++) fields.push(label(`l${i}`, i % 7 === 0 ? '' : 'v'));
  for (let i = Math.floor(next() * 4); i > 0; i--) fields.push(oddSample(next));
  if (next() < 0.1) fields.push(bytesField(3, 'exemplar'));
  if (next() < 0.05) fields.push(bytesField(4, 'histogram'));
  if (next() < 0.1)
    fields.push(pick(next, [integer(9, 5), double(1, 1), bytesField(200, 'x'), Buffer.from([0x3d, 1, 2, 3, 4])]));
  if (next() < 0.3) fields.sort(() => next() - 0.5);
  return bytesField(1, ...fields);
}

function oddLabel(next: Random): Buffer {
  const name = next() < 0.7 ? pick(next, ['host', 'region', 'dc', 'az']) : pick(next, NAMES);
  const value = next() < 0.95 ? pick(next, VALUES) : Buffer.from([0xff, 0x41]);
  if (next() < 0.9) return label(name, value);
  const parts = [bytesField(1, name), bytesField(2, value), bytesField(2, 'last'), integer(7, 1)];
  return bytesField(1, ...parts.filter(() => next() < 0.7).sort(() => next() - 0.5));
}

function oddSample(next: Random): Buffer {
  const value = pick(next, [
    double(1, (next() - 0.5) * 10 ** Math.floor(next() * 300 - 150)),
    double(1, -0),
    double(1, Number.POSITIVE_INFINITY),
    double(1, Number.NaN),
    fixed64(1, STALE),
    Buffer.alloc(0),
  ]);
  const timestamp = pick(next, [
    integer(2, 1700000000000 + Math.floor(next() * 120000)),
    integer(2, BigInt(Math.floor((next() - 0.5) * 2 ** 53))),
    integer(
      2,
      pick(next, [0, -1, 8.64e15, -8.64e15, 8.64e15 + 1, 2n ** 63n - 1n, -(2n ** 63n), 1700000090000, 1700000090001]),
    ),
    Buffer.alloc(0),
  ]);
  const parts = [value, timestamp];
  if (next() < 0.2)
    parts.push(pick(next, [integer(2, 5), double(1, 5), double(2, 1), integer(1, 1), bytesField(8, 'x')]));
  if (next() < 0.3) parts.sort(() => next() - 0.5);
  return bytesField(2, ...parts);
}
