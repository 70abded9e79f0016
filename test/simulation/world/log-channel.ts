// Owns the way between a process and the simulated log: latency, deadlines, and what is lost or late on it. A request
// is carried out at most once; whether the client learns of it is another matter.

import { StreamError } from '#runtime/std/errors.ts';
import type { Faults } from '#test/simulation/world/log-faults.ts';
import type { Process } from '#test/simulation/world/process.ts';
import type { Random } from '#test/simulation/world/random.ts';
import type { Scheduler } from '#test/simulation/world/scheduler.ts';

export type RequestKind =
  | 'metadata'
  | 'admin'
  | 'offsets'
  | 'fetch'
  | 'fence'
  | 'add-partitions'
  | 'write'
  | 'commit'
  | 'group-join'
  | 'group-sync'
  | 'group-sign';
export type RequestFault = 'request-lost' | 'answer-lost' | 'request-late' | 'closed-before' | 'closed-after';

/** How long clients wait for an answer. */
export const REQUEST_DEADLINE_MS = 2_000;
/** Longest a late request is on its way: beyond deadlines, restarts and transaction time-outs. */
const LATE_MS = 30_000;
/** How soon a client learns that nobody is there. */
const REFUSED_MS = 1;

interface ArmedFault {
  readonly kind: RequestKind;
  readonly fault: RequestFault;
  readonly happened: () => void;
}

export class LogChannel {
  readonly scheduler: Scheduler;
  readonly random: Random;
  faults: Faults;
  /** How long clients wait for an answer. */
  deadlineMs = REQUEST_DEADLINE_MS;
  /** Nobody answers. */
  away = false;
  /** Processes that have started. */
  started = 0;
  /** Requests by fault, for a test that wants to know whether its faults happened. */
  readonly counts: Record<RequestFault | 'requests' | 'refused' | 'late-past-a-new-process' | 'held-back', number> = {
    requests: 0,
    refused: 0,
    'late-past-a-new-process': 0,
    'held-back': 0,
    'request-lost': 0,
    'answer-lost': 0,
    'request-late': 0,
    'closed-before': 0,
    'closed-after': 0,
  };
  #armed: ArmedFault[] = [];

  constructor(scheduler: Scheduler, random: Random, faults: Faults) {
    this.scheduler = scheduler;
    this.random = random;
    this.faults = faults;
  }

  /** The next request of this kind suffers this fault. */
  arm(kind: RequestKind, fault: RequestFault, happened: () => void): void {
    this.#armed.push({ kind, fault, happened });
  }

  /**
   * Sends one request. `serve` is carried out at the log and answers now or later. Rejects with log-timeout or
   * log-unavailable; then nobody knows whether it was, or will be, carried out.
   */
  request<T>(
    process: Process,
    kind: RequestKind,
    serve: (answer: (value: T) => void) => void,
    deadlineMs = this.deadlineMs,
  ): Promise<T> {
    const crash = process.alive ? (process.operations?.begin() ?? null) : null;
    if (crash === 'before') process.operations?.crash(process);
    if (!process.alive) return process.never;
    this.counts.requests++;
    const armed = this.#takeArmed(kind);
    const fault = armed?.fault ?? this.#drawFault();
    if (fault !== null) this.counts[fault]++;
    const happened = armed?.happened ?? (() => {});
    return new Promise((resolve, reject) => {
      const { scheduler } = this;
      let settled = false;
      const fail = (code: 'log-timeout' | 'log-unavailable') => {
        if (settled) return;
        settled = true;
        scheduler.cancel(deadline);
        reject(new StreamError(code, `${kind} request of ${process.name}: ${code}`, 'wait until the log is back'));
      };
      const deadline = scheduler.schedule(deadlineMs, 'deadline', process, () => fail('log-timeout'));
      const answer = (value: T) => {
        if (fault === 'request-late' || fault === 'answer-lost') return;
        const closed = fault === 'closed-after' || this.away;
        scheduler.schedule(this.#latencyMs(), kind, process, () => {
          if (closed) return fail('log-unavailable');
          if (settled) return;
          settled = true;
          scheduler.cancel(deadline);
          resolve(value);
        });
      };
      const { started } = this;
      const arrive = () => {
        if (fault !== null) happened();
        if (fault === 'request-late' && this.started > started) this.counts['late-past-a-new-process']++;
        if (this.away) {
          this.counts.refused++;
          scheduler.schedule(REFUSED_MS, 'refused', process, () => fail('log-unavailable'));
        } else serve(answer);
        if (crash === 'after') process.operations?.crash(process);
      };
      if (fault === 'request-lost') happened();
      else if (fault === 'closed-before') {
        scheduler.schedule(this.#latencyMs(), kind, process, () => {
          happened();
          fail('log-unavailable');
        });
      } else {
        const late = fault === 'request-late' ? REQUEST_DEADLINE_MS + this.random.between(0, LATE_MS) : 0;
        scheduler.schedule(late + this.#latencyMs(), kind, null, arrive);
      }
    });
  }

  #takeArmed(kind: RequestKind): ArmedFault | null {
    if (this.#armed.length === 0) return null;
    const at = this.#armed.findIndex((armed) => armed.kind === kind);
    return at < 0 ? null : this.#armed.splice(at, 1)[0];
  }

  #drawFault(): RequestFault | null {
    const { random, faults } = this;
    if (random.happens('request-lost', faults.requestLost)) return 'request-lost';
    if (random.happens('answer-lost', faults.answerLost)) return 'answer-lost';
    if (random.happens('request-late', faults.requestLate)) return 'request-late';
    if (random.happens('closed-before', faults.closedBefore)) return 'closed-before';
    if (random.happens('closed-after', faults.closedAfter)) return 'closed-after';
    return null;
  }

  #latencyMs(): number {
    const usual = this.faults.latencyMs * this.random.between(0.5, 1.5);
    const slow = this.random.happens('slow-request', this.faults.slow);
    return slow ? usual + this.random.between(0, REQUEST_DEADLINE_MS / 3) : usual;
  }
}
