// Owns what an adapter of the log port must bring so that the contract suite can run over it. What not every log can do
// or suffer is optional; a subject that leaves something out says why, and the suite holds it to that.

import type { LogClient, StagedBatch, TopicPartition } from '#runtime/log/contract.ts';

export const CODECS = ['gzip', 'snappy', 'lz4', 'zstd'] as const;
export type Codec = (typeof CODECS)[number];

export const FAULT_PLACES = ['fence', 'write', 'commit'] as const;
export const FAULT_KINDS = ['request-lost', 'answer-lost', 'request-late', 'closed-before', 'closed-after'] as const;

/**
 * One fault in a writer's conversation with the log. `fence` is InitProducerId, `write` the records of a transaction,
 * `commit` its end (a log that does both in one request lists only `commit`). `request-late`: the log receives the
 * request only after the client has given up and become ready again.
 */
export interface LogFault {
  readonly on: (typeof FAULT_PLACES)[number];
  readonly how: (typeof FAULT_KINDS)[number];
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
  /** The same, and no offset is used for a while behind its records: as many as the log can leave out. */
  appendBeforeGap?(batch: StagedBatch): Promise<void>;
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

/** What the suite tests beyond the port alone. */
export type SuiteItem =
  | `${LogFault['on']} ${LogFault['how']}`
  | `${Codec} batches`
  | 'open transactions'
  | 'gaps'
  | 'outages'
  | 'clients that come back'
  | 'groups of several members';

export function allItems(): SuiteItem[] {
  return [
    ...FAULT_PLACES.flatMap((on) => FAULT_KINDS.map((how): SuiteItem => `${on} ${how}`)),
    ...CODECS.map((codec): SuiteItem => `${codec} batches`),
    'open transactions',
    'gaps',
    'outages',
    'clients that come back',
    'groups of several members',
  ];
}

/** Those that the suite tests with a subject of such capabilities. */
export function testedItems(capabilities: LogSuiteSubject['capabilities']): SuiteItem[] {
  const { codecs, faults, gaps, outage, reconnects, severalMembers, transactionTimeoutMs } = capabilities;
  const others: readonly (readonly [SuiteItem, boolean])[] = [
    ['open transactions', transactionTimeoutMs !== null],
    ['gaps', gaps],
    ['outages', outage],
    ['clients that come back', outage && reconnects],
    ['groups of several members', severalMembers],
  ];
  return [
    ...faults.map(({ on, how }): SuiteItem => `${on} ${how}`),
    ...codecs.map((codec): SuiteItem => `${codec} batches`),
    ...others.flatMap(([item, tested]) => (tested ? [item] : [])),
  ];
}

export interface LogSuiteSubject {
  readonly name: string;
  readonly capabilities: {
    /** Codecs that stored batches may have; needs `appendRaw`. */
    readonly codecs: readonly Codec[];
    /** Faults that `inject` knows. */
    readonly faults: readonly LogFault[];
    /** Longest the log needs to end a transaction that timed out, or null when transactions cannot stay open. */
    readonly transactionTimeoutMs: number | null;
    /** The log can go away and come back: `outage` is given. */
    readonly outage: boolean;
    /** There may be offsets without records: `appendBeforeGap` is given. */
    readonly gaps: boolean;
    /** Clients go on by themselves when the log is back; otherwise a process begins anew, with a client of its own. */
    readonly reconnects: boolean;
    /** Several processes may use the log at once. */
    readonly severalMembers: boolean;
  };
  /** What the capabilities leave out, and why it cannot happen to this log. */
  readonly omitted: readonly { readonly items: readonly SuiteItem[]; readonly why: string }[];
  /** Called once for all tests of the suite. */
  open(): Promise<OpenLog>;
}
