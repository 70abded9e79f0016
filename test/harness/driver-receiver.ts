// Owns the receivers of a driven job: they take every remote write at once and remember it. No network.

import { RemoteWriteDecoder } from '#operators/formats/remote-write-decoder.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import type { Answer, Receiver } from '#runtime/effect/contract.ts';
import { invariant } from '#runtime/std/errors.ts';
import { Batch } from '#runtime/task/contract.ts';

/** A sample as a receiver took it. */
export interface ReceivedSample {
  readonly metric_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly timestamp: number;
  readonly value: number;
}

export class DriverReceivers {
  readonly #received = new Map<string, ReceivedSample[]>();

  /** The receiver of that name, for one task of it. */
  connect(target: string): Receiver {
    const received = this.#received.get(target) ?? [];
    this.#received.set(target, received);
    return {
      address: `driver:${target}`,
      async send(body: Uint8Array): Promise<Answer> {
        received.push(...samplesOf(body));
        return { status: 204, message: '', retryAfter: null, contentType: null };
      },
      close() {},
    };
  }

  /** Null: the job has no receiver of that name. */
  samples(target: string): readonly ReceivedSample[] | null {
    return this.#received.get(target) ?? null;
  }

  get names(): readonly string[] {
    return [...this.#received.keys()];
  }
}

function samplesOf(body: Uint8Array): ReceivedSample[] {
  const table = new SeriesTable({ stateId: 'received/series' });
  table.open({ register: () => ({ epoch: 1, touch: () => {} }) });
  const decoder = new RemoteWriteDecoder({ table, keepsNotFinite: true });
  const batch = new Batch(1_024);
  const skewLimitMs = Number.POSITIVE_INFINITY;
  const origin = { partition: 0, offset: 0, timestampMs: 0, headersAt: -1, skewLimitMs };
  decoder.decode(Buffer.from(body), 0, body.length, origin, batch);
  invariant(decoder.outcome.faultCount === 0, `a remote write cannot be read: ${decoder.outcome.faults[0]?.message}`);
  return Array.from({ length: batch.count }, (_, i) => ({
    metric_name: table.metricName(batch.key[i]),
    labels: Object.fromEntries(table.labels(batch.key[i])),
    timestamp: batch.timestampMs[i],
    value: batch.value[i],
  }));
}
