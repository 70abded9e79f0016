// Owns what an adapter of the log port must bring so that the contract suite can run over it. Everything that not every
// log can do is optional: what its capabilities do not name leaves out the tests that need it.

import type { LogClient, StagedBatch, TopicPartition } from '#runtime/log/contract.ts';

export type Codec = 'gzip' | 'snappy' | 'lz4' | 'zstd';

/**
 * One fault in a writer's conversation with the log. `fence` is InitProducerId, `write` the records of a transaction,
 * `commit` its end (a log that does both in one request lists only `commit`). `request-late`: the log receives the
 * request only after the client has given up and become ready again.
 */
export interface LogFault {
  readonly on: 'fence' | 'write' | 'commit';
  readonly how: 'request-lost' | 'answer-lost' | 'request-late' | 'closed-before' | 'closed-after';
}

/** A transaction made step by step, past the port: to leave one open, to abort one, to overlap two. */
export interface RawTransaction {
  append(batch: StagedBatch): Promise<void>;
  commit(): Promise<void>;
  abort(): Promise<void>;
}

/** A log that runs. Topics of other tests may be in it. */
export interface OpenLog {
  /**
   * A new client; the suite closes it. Its writers and readers should give up on a lost request within a second or two,
   * or the fault tests take as long as their deadline.
   */
  client(): LogClient;
  /** All stored batches of a partition from its log start on, as stored: control batches and aborted ones too. */
  dump?(at: TopicPartition): Promise<Buffer>;
  /** Appends a complete, finished, non-transactional batch (perhaps compressed). */
  appendRaw?(batch: StagedBatch): Promise<void>;
  /** Fences the id and opens a transaction that nobody ends but its owner or its time-out. */
  beginRaw?(transactionalId: string, timeoutMs: number): Promise<RawTransaction>;
  /** The next matching request of any client suffers `fault`. `done` resolves when it has happened entirely. */
  inject?(fault: LogFault): { readonly done: Promise<void> };
  /** The log does not answer between the two. */
  readonly outage?: { begin(): Promise<void>; end(): Promise<void> };
  /** How the suite waits between two looks; real time when left out. */
  sleep?(ms: number): Promise<void>;
  close(): Promise<void>;
}

export interface LogSuiteSubject {
  readonly name: string;
  readonly capabilities: {
    /** Transactions end with control batches that take an offset. */
    readonly markers: boolean;
    /** Codecs that stored batches may have; needs `appendRaw`. */
    readonly codecs: readonly Codec[];
    /** Faults that `inject` knows. */
    readonly faults: readonly LogFault[];
    /** Longest the log needs to end a transaction that timed out, or null when transactions cannot stay open. */
    readonly transactionTimeoutMs: number | null;
    /** The log can go away and come back: `outage` is given. */
    readonly outage: boolean;
  };
  /** Called once for all tests of the suite. */
  open(): Promise<OpenLog>;
}
