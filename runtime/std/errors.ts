// Owns the two kinds of failure: `invariant` (our bug, caught only by the supervisor) and `StreamError` (the world's
// fault, with a stable code and a remedy). Every code stands in ERROR_CODES, which the README's table must equal.

/** Stable codes of StreamError. `retryable`: the supervisor restarts the task with backoff; otherwise it fails for good. */
export const ERROR_CODES = {
  // log
  'log-unavailable': { retryable: true, meaning: 'a broker or the log directory does not answer' },
  'log-timeout': { retryable: true, meaning: 'a request to the log missed its deadline' },
  'log-corrupt': { retryable: false, meaning: 'stored record batches fail their checksum' },
  'log-protocol': { retryable: true, meaning: 'a broker answered with an unexpected error or frame' },
  'log-unsupported': { retryable: false, meaning: 'the log lacks a feature that Millrace needs' },
  'log-in-use': { retryable: false, meaning: 'another process holds the log directory' },
  'topic-unknown': { retryable: false, meaning: 'a topic does not exist' },
  'topic-recreated': { retryable: false, meaning: 'a topic was deleted and created again under a running job' },
  'topic-partitions-changed': {
    retryable: false,
    meaning: 'a topic has another partition count than at the first start',
  },
  'offset-out-of-range': { retryable: false, meaning: 'retention removed records that were not processed yet' },
  'record-too-large': { retryable: false, meaning: 'a record exceeds the largest size the log takes' },
  'record-refused': { retryable: false, meaning: 'the log takes no record like this one' },
  'writer-fenced': { retryable: true, meaning: 'another instance owns the transactional id' },
  'writer-dead': { retryable: true, meaning: 'a transaction failed and its fate must be read from the log' },
  'foreign-writer': { retryable: false, meaning: 'somebody else writes to an internal topic of this installation' },
  'member-unknown': { retryable: true, meaning: 'the group of processes went on without this one' },
  'generation-ended': {
    retryable: true,
    meaning: 'processes agreed anew on who runs what, and this one has not heard',
  },
  'rebalance-in-progress': { retryable: true, meaning: 'processes are agreeing anew on who runs what' },
  'group-refused': { retryable: false, meaning: 'the log does not take this process into the group of processes' },
  // task
  'replay-diverged': { retryable: false, meaning: 'replayed input gave other output than was committed' },
  'version-mismatch': {
    retryable: false,
    meaning: 'the state was left by another version of the job and not by a clean stop',
  },
  'savepoint-failed': { retryable: true, meaning: 'a savepoint came to nothing, and the job goes on without it' },
  'state-not-movable': {
    retryable: false,
    meaning: 'a state cannot be spread over another number of tasks',
  },
  'savepoint-unknown': { retryable: false, meaning: 'a job has no such savepoint' },
  'commit-log-lost': { retryable: false, meaning: 'the commit log of a task is gone although the task ran before' },
  'commit-log-corrupt': { retryable: false, meaning: 'an entry of a commit log cannot be read or breaks the chain' },
  'checkpoint-lost': {
    retryable: false,
    meaning: 'no usable checkpoint, and the logs no longer reach back to the first entry',
  },
  'checkpoint-corrupt': { retryable: false, meaning: 'a file of a checkpoint fails its checksum' },
  'checkpoint-unsupported': { retryable: false, meaning: 'a checkpoint was written by a newer version of Millrace' },
  'installation-mismatch': { retryable: false, meaning: 'log and checkpoint store belong to different installations' },
  superseded: { retryable: false, meaning: "the task or the control log is another process's by now" },
  'slot-died': { retryable: true, meaning: 'a thread that runs tasks ended, and is started again' },
  'slot-not-started': { retryable: false, meaning: 'a thread that is to run tasks cannot be started' },
  'series-not-partitioned': {
    retryable: false,
    meaning: "a series arrived on another partition than partitionedBy: 'series' promises",
  },
  'series-limit': { retryable: false, meaning: 'more live series than seriesMax in one task' },
  'bad-record': { retryable: false, meaning: "a record could not be decoded and the source's policy is fail" },
  'task-crash-loop': { retryable: false, meaning: 'a task failed too often in a row' },
  'operator-failed': { retryable: true, meaning: 'a function of the job threw' },
  'window-limit': { retryable: false, meaning: 'an operator would have too many windows open at once' },
  'exchange-corrupt': { retryable: false, meaning: 'a record of an exchange cannot be read' },
  // effects
  'receiver-unavailable': { retryable: true, meaning: 'a receiver outside the log does not answer or takes nothing' },
  // files
  'directory-not-writable': { retryable: false, meaning: 'a data directory cannot be written' },
  'directory-in-use': { retryable: false, meaning: 'another process uses the data directory' },
  'disk-failed': { retryable: true, meaning: 'the disk refused to read or write' },
  'store-unavailable': { retryable: true, meaning: 'a checkpoint store does not answer, or fails' },
  'store-refused': {
    retryable: false,
    meaning: 'a checkpoint store refuses bucket, credentials or conditional writes',
  },
  'state-unreadable': { retryable: true, meaning: 'the state of a task cannot be looked at now' },
  'state-corrupt': { retryable: true, meaning: 'a page of state outside memory is not what was written' },
  // admin API
  'peer-unreachable': { retryable: true, meaning: 'another process of the installation does not answer' },
  'address-unavailable': { retryable: false, meaning: 'the admin API cannot listen on its address' },
  'request-invalid': { retryable: false, meaning: 'a request to the admin API has faults; all are listed' },
  'request-unauthorized': { retryable: false, meaning: 'a request to the admin API does not carry its token' },
  'request-misdirected': {
    retryable: false,
    meaning: 'a request to the admin API names a host that it is not known under',
  },
  'request-too-large': { retryable: false, meaning: 'a request to the admin API is larger than any that it knows' },
  'request-timeout': { retryable: true, meaning: 'a request to the admin API did not arrive in time' },
  'request-overload': { retryable: true, meaning: 'the admin API is asked too much at once' },
  'answer-timeout': { retryable: true, meaning: 'the process did not answer a request to the admin API in time' },
  'path-unknown': { retryable: false, meaning: 'the admin API has no such path' },
  'method-unknown': { retryable: false, meaning: 'a path of the admin API does not know the method' },
  'media-type-unknown': { retryable: false, meaning: 'a change was sent to the admin API in another form than JSON' },
  'job-unknown': { retryable: false, meaning: 'the process has no such job' },
  'job-changed': { retryable: false, meaning: 'the job was changed since it was looked at' },
  'job-busy': { retryable: true, meaning: 'another change of the job is under way' },
  'job-state-wrong': { retryable: false, meaning: 'the job is in no state in which it can be changed so' },
  'version-unknown': { retryable: false, meaning: 'a job never had this version, or its module is not kept any more' },
  'request-unknown': { retryable: false, meaning: 'no change has this request id' },
  'request-reused': { retryable: false, meaning: 'a request id was used before, for another change' },
  'request-interrupted': { retryable: true, meaning: 'a change was not finished, and what it did is undone' },
  'operator-unknown': { retryable: false, meaning: 'the job has no such operator whose state can be read' },
  'not-ready': { retryable: true, meaning: 'a job of the process does not do its work now' },
  'internal-error': { retryable: false, meaning: 'a bug of Millrace: the log of the process says where' },
  // commands
  'api-unreachable': { retryable: true, meaning: 'no admin API answers where a command looks for it' },
  'api-foreign': { retryable: false, meaning: 'what answers a command is no admin API of Millrace' },
  // configuration
  'config-invalid': { retryable: false, meaning: 'the configuration has faults; all are listed' },
  'job-invalid': { retryable: false, meaning: 'the job module has faults; all are listed' },
} as const satisfies Record<string, { retryable: boolean; meaning: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** A fault of the world around us. `message` names the object and its kind, `remedy` what the reader can do. */
export class StreamError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;
  override readonly name = 'StreamError';

  constructor(code: ErrorCode, message: string, remedy: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
  }

  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }
}

/** Our own bug: never caught but by the supervisor of the task. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** Throws InvariantError when `condition` is false; stays on in production. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
