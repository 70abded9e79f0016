// Owns what a window of records keeps and what it gives: reduce, aggregate, or all elements. Pure; the window says
// when. Invariant: what was given away is never changed afterwards, and what is kept never by those who were given it.

import type { AggregateFunction, OwningCodec } from '#operators/process/contract.ts';
import { copier } from '#operators/records/copier.ts';
import { frozen } from '#operators/records/frozen.ts';
import type { ByteReader } from '#runtime/std/byte-writer.ts';

/** The window of a result, as functions see it. */
export interface WindowInfo {
  readonly key: string;
  /** Of global windows -Infinity, and their end Infinity. */
  readonly startMs: number;
  readonly endMs: number;
  /** 0 for the first result of a window, then one more for each further firing. */
  readonly revision: number;
  readonly watermarkMs: number;
  readonly clockMs: number;
}

export type WindowFunction =
  | {
      readonly kind: 'reduce';
      /** Of a record. */
      readonly codec: OwningCodec<unknown>;
      readonly reduce: (a: unknown, b: unknown) => unknown;
      readonly result: ResultFunction | null;
    }
  | {
      readonly kind: 'aggregate';
      /** Of an accumulator. */
      readonly codec: OwningCodec<unknown>;
      readonly aggregate: AggregateFunction<unknown, unknown, unknown>;
      readonly result: ResultFunction | null;
      /** `result` gives the list of results. */
      readonly flat?: boolean;
    }
  | {
      readonly kind: 'process';
      /** Of a record. */
      readonly codec: OwningCodec<unknown>;
      /** All results of a firing. */
      readonly process: (elements: readonly unknown[], window: WindowInfo) => unknown;
    };

/** Makes the record of a result; without it that is `windowRecord`. */
export type ResultFunction = (value: unknown, window: WindowInfo) => unknown;

/** What a window does with its content, whatever the function. */
export interface WindowFold {
  /** Of the content. */
  readonly codec: OwningCodec<unknown>;
  readonly mergeable: boolean;
  first(record: unknown): unknown;
  /** The content, changed in place or new. */
  add(content: unknown, record: unknown): unknown;
  merge(content: unknown, next: unknown): unknown;
  /** The value of a firing; of `process` the list of them. */
  value(content: unknown, window: WindowInfo): unknown;
  /** Whether `value` gives a list of results. */
  readonly many: boolean;
  /** The content of the last call of `value`, sharing nothing with what that gave. */
  apart(content: unknown): unknown;
}

/** A result where the job names no function of its own. Fields are named as those of rollup rows. */
export function windowRecord(value: unknown, window: WindowInfo): unknown {
  const { key, startMs, endMs, revision } = window;
  if (endMs === Number.POSITIVE_INFINITY) return { key, revision, value };
  return { key, window_start: startMs, window_end: endMs, revision, value };
}

export function windowFold(plan: WindowFunction, byDefault: ResultFunction = windowRecord): WindowFold {
  switch (plan.kind) {
    case 'reduce':
      return reduceFold(plan.codec, plan.reduce, plan.result ?? byDefault);
    case 'aggregate':
      return aggregateFold(plan.codec, plan.aggregate, plan.result ?? byDefault, plan.flat ?? false);
    case 'process':
      return elementsFold(plan.codec, plan.process);
  }
}

function reduceFold(
  codec: OwningCodec<unknown>,
  reduce: (a: unknown, b: unknown) => unknown,
  result: ResultFunction,
): WindowFold {
  return {
    codec,
    mergeable: true,
    many: false,
    // One record may be the content of many windows, and of other operators: nobody may change it.
    first: (record) => frozen(codec.own(record)),
    add: (content, record) => frozen(codec.own(reduce(content, record))),
    merge: (content, next) => frozen(codec.own(reduce(content, next))),
    value: result,
    apart: (content) => content,
  };
}

function aggregateFold(
  codec: OwningCodec<unknown>,
  aggregate: AggregateFunction<unknown, unknown, unknown>,
  result: ResultFunction,
  many: boolean,
): WindowFold {
  const copy = copier(codec);
  let shares = false;
  return {
    codec,
    mergeable: aggregate.merge !== undefined,
    many,
    first: (record) => codec.own(aggregate.add(aggregate.create(), record)),
    add: (content, record) => codec.own(aggregate.add(content, record)),
    merge: (content, next) => codec.own(aggregate.merge!(content, next)),
    value(content, window) {
      const value = aggregate.result(content);
      shares = typeof value === 'object' && value !== null;
      return result(value, window);
    },
    apart: (content) => (shares ? copy(content) : content),
  };
}

function elementsFold(
  codec: OwningCodec<unknown>,
  process: (elements: readonly unknown[], window: WindowInfo) => unknown,
): WindowFold {
  return {
    codec: listCodec(codec),
    mergeable: true,
    many: true,
    first: (record) => [frozen(codec.own(record))],
    add(content, record) {
      (content as unknown[]).push(frozen(codec.own(record)));
      return content;
    },
    merge: (content, next) => (content as unknown[]).concat(next),
    value: (content, window) => process((content as unknown[]).slice(), window),
    apart: (content) => content,
  };
}

/** Elements were owned one by one. */
export function listCodec(codec: OwningCodec<unknown>): OwningCodec<unknown> {
  return {
    name: `list of ${codec.name}`,
    schemaVersion: codec.schemaVersion,
    own: (list) => list,
    write(list, out) {
      const elements = list as readonly unknown[];
      out.uvarint(elements.length);
      for (const element of elements) codec.write(element, out);
    },
    read: (input) => readList(input, (from) => codec.read(from)),
    readOlder(older) {
      const read = codec.readOlder?.(older) ?? null;
      return read === null ? null : (input) => readList(input, read);
    },
  };
}

function readList(input: ByteReader, readElement: (input: ByteReader) => unknown): unknown[] {
  const elements: unknown[] = [];
  for (let left = input.uvarint(); left > 0; left--) elements.push(readElement(input));
  return elements;
}
