// Owns increase() and rate() of Prometheus over a window: samples in the order of their time, resets added up, and the
// gain extrapolated to the window's borders. A window is [start, end), where Prometheus' range is (start, end].

import type { AggregateFunction, OwningCodec } from '#operators/process/contract.ts';
import { functionFailed, shown } from '#operators/records/user-function.ts';

/** Ascending, each time once: of two samples of one time the first that came. */
export interface CounterSamples {
  readonly times: number[];
  readonly values: number[];
}

/** Samples further from a border than this many average distances do not reach it. */
const REACH = 1.1;

export function counterSamples(
  sampleOf: (record: unknown) => { readonly timeMs: unknown; readonly value: unknown },
): AggregateFunction<unknown, CounterSamples, CounterSamples> {
  return {
    create: () => ({ times: [], values: [] }),
    add(samples, record) {
      const { timeMs, value } = sampleOf(record);
      if (typeof value !== 'number' || typeof timeMs !== 'number')
        throw functionFailed(
          'a counter',
          `gave ${shown([timeMs, value])} instead of time and value`,
          `for ${shown(record)}`,
        );
      // Stale markers, and what no counter can be.
      if (Number.isFinite(value)) insert(samples, timeMs, value);
      return samples;
    },
    result: (samples) => samples,
    merge(a, b) {
      for (const [i, timeMs] of b.times.entries()) insert(a, timeMs, b.values[i]);
      return a;
    },
  };
}

function insert({ times, values }: CounterSamples, timeMs: number, value: number): void {
  let at = times.length;
  while (at > 0 && times[at - 1] > timeMs) at--;
  if (times[at - 1] === timeMs) return;
  times.splice(at, 0, timeMs);
  values.splice(at, 0, value);
}

/** What the counter gained in [startMs, endMs); null with fewer than two samples. */
export function increaseOf({ times, values }: CounterSamples, startMs: number, endMs: number): number | null {
  const count = times.length;
  if (count < 2) return null;
  let gained = values[count - 1] - values[0];
  for (let i = 1; i < count; i++) if (values[i] < values[i - 1]) gained += values[i - 1];
  const sampledMs = times[count - 1] - times[0];
  const distanceMs = sampledMs / (count - 1);
  let beforeMs = times[0] - startMs;
  if (beforeMs >= distanceMs * REACH) beforeMs = distanceMs / 2;
  // A counter is never negative, so it did not gain before it would have been 0.
  if (gained > 0 && values[0] >= 0) beforeMs = Math.min(beforeMs, (sampledMs * values[0]) / gained);
  let afterMs = endMs - times[count - 1];
  if (afterMs >= distanceMs * REACH) afterMs = distanceMs / 2;
  return (gained * (beforeMs + sampledMs + afterMs)) / sampledMs;
}

/** As increaseOf, per second. */
export function rateOf(samples: CounterSamples, startMs: number, endMs: number): number | null {
  const gained = increaseOf(samples, startMs, endMs);
  return gained === null ? null : gained / ((endMs - startMs) / 1000);
}

export const COUNTER_SAMPLES: OwningCodec<CounterSamples> = {
  name: 'counter samples',
  schemaVersion: 1,
  own: (samples) => samples,
  write({ times, values }, out) {
    out.uvarint(times.length);
    let before = 0;
    for (const [i, timeMs] of times.entries()) {
      out.varint(timeMs - before);
      out.f64(values[i]);
      before = timeMs;
    }
  },
  read(input) {
    const samples: CounterSamples = { times: [], values: [] };
    let timeMs = 0;
    for (let left = input.uvarint(); left > 0; left--) {
      timeMs += input.varint();
      samples.times.push(timeMs);
      samples.values.push(input.f64());
    }
    return samples;
  },
};
