// Owns the words for time-series databases: rows, what is read back from rollup topics, and remoteWrite, where samples and
// rows go. They only hold what the author gave; the compiler checks it.

import type { Duration } from '#jobs/descriptions.ts';
import type { RowFormatName } from '#operators/formats/row-encoder.ts';

export interface RowsOptions {
  /** A topic of rollup rows, as `topic(…)` behind windows writes it. */
  readonly topic: string;
  /** How they are written there. 'remote-write' says no revision: only replaceable targets take such rows. @default 'json' */
  readonly format?: RowFormatName | undefined;
  /** Where the very first start begins: an ISO time or milliseconds for a moment. @default 'earliest' */
  readonly start?: 'earliest' | 'latest' | (string & {}) | number | undefined;
  /**
   * How far the end of a row's window may lie behind the latest seen: the tasks that write a partition are not equally far.
   * @default '1m'
   */
  readonly outOfOrderness?: Duration | undefined;
  /** Without input for this long a partition stops holding the watermark back. @default '30s', minimum '1s' */
  readonly idleness?: Duration | undefined;
  /** Rows whose window ends further ahead of the clock are bad records. @default '10m' */
  readonly maxSkew?: Duration | undefined;
  /** What becomes of a record that is no row. @default 'dead-letter' */
  readonly badRecords?: 'dead-letter' | 'skip' | 'fail' | undefined;
  /** Live series per task at most; beyond it the task stops with series-limit. @default 1000000 */
  readonly seriesMax?: number | undefined;
  /** An unused series is forgotten after two to three of these, in event time. @default '1h' */
  readonly keyTtl?: Duration | undefined;
  /** @default '<topic>.dead-letter' */
  readonly deadLetterTopic?: string | undefined;
  /** Group under which consumed offsets are published, for Kafka's own tools. @default '<namespace>.<job>' */
  readonly consumerGroup?: string | undefined;
  /** Id of this step. @default 'rows' */
  readonly id?: string | undefined;
}

export interface RowsDescription {
  readonly kind: 'rows';
  readonly options: RowsOptions;
}

/** Reads rollup rows from a topic. */
export function rows(options: RowsOptions): RowsDescription {
  return { kind: 'rows', options };
}

/** A receiver of Prometheus remote write 1.0. Credentials belong into the environment: `env('…')`. */
export interface RemoteWriteOptions {
  /** `[a-z0-9-]{1,64}`: messages and dead letters carry it. */
  readonly name: string;
  /** `http://` or `https://`, whole: `http://prometheus:9090/api/v1/write`. */
  readonly url: string;
  /**
   * `replaceable`: rows go as they come, corrections too: the receiver must let the sample written last win. `final`: every
   * sample goes once, in the order of time, when nothing can correct it any more.
   */
  readonly mode: 'replaceable' | 'final';
  /** With `final`: how long a row waits for corrections behind the watermark; that of the windows. @default '0s' */
  readonly lateness?: Duration | undefined;
  /** With `final`: `drop` sends the first row of a window and counts its corrections. @default 'wait' */
  readonly corrections?: 'wait' | 'drop' | undefined;
  /**
   * `prometheus`: series that Prometheus before version 3 cannot name are dead letters; it would drop them without a word.
   * @default 'prometheus' with `final`, 'any' with `replaceable`
   */
  readonly names?: 'any' | 'prometheus' | undefined;
  readonly basicAuth?: { readonly user: string | undefined; readonly password: string | undefined } | undefined;
  readonly bearerToken?: string | undefined;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
  /** PEM texts, or paths of PEM files; relative to where the process was started. */
  readonly tls?:
    | {
        /** Certificates to trust instead of the system's. */
        readonly ca?: string | undefined;
        /** Own certificate and key, for receivers that ask for one. */
        readonly certificate?: string | undefined;
        readonly key?: string | undefined;
      }
    | undefined;
  /** For a whole request. @default '30s' */
  readonly timeout?: Duration | undefined;
  /** Samples of one request at most. @default 5000 */
  readonly requestSamplesMax?: number | undefined;
  /** Bytes of one request at most, before compression. @default '1MiB' */
  readonly requestBytesMax?: string | undefined;
  /** Bytes that may wait for the receiver, for each task; then no more input is taken. @default '8MiB' */
  readonly queueBytesMax?: string | undefined;
  /** Id of this step. @default made of its input and the name */
  readonly id?: string | undefined;
}

export interface RemoteWriteDescription {
  readonly kind: 'remote-write';
  readonly options: RemoteWriteOptions;
}

/** A time-series database that samples, or rows of a topic, go to. */
export function remoteWrite(options: RemoteWriteOptions): RemoteWriteDescription {
  return { kind: 'remote-write', options };
}
