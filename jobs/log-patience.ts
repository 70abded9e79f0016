// Owns the patience with a log that cannot be used at the start of a process: what it refuses for now is tried again,
// visibly, until it was away for too long or somebody asks for the end. Knows nothing of what is tried.

import { once } from 'node:events';
import type { LogConfiguration } from '#jobs/configuration.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';

export interface LogPatience {
  readonly log: LogConfiguration;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends the waiting at once: the error of the last attempt is thrown, or that it was stopped. */
  readonly signal: AbortSignal;
}

/** How long an embedded log that cannot be used is waited for at start; Kafka's is configured. */
const START_TIMEOUT_MS = 60_000;
const RETRY_PAUSE_MS = 500;
const TELL_INTERVAL_MS = 5_000;

/** How long a start waits for its log. */
export function startTimeoutMs(log: LogConfiguration): number {
  return log.kind === 'kafka' ? log.startTimeoutMs : START_TIMEOUT_MS;
}

/** Repeats `attempt` while the log is away, for `timeoutMs` at most; Infinity: however long. */
export async function patiently<T>(parts: LogPatience, timeoutMs: number, attempt: () => Promise<T>): Promise<T> {
  const { log, clock, logger, signal } = parts;
  const ended = endOf(signal);
  ended.catch(() => {});
  const sinceMs = clock.monotonicMs();
  let toldMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      return await Promise.race([attempt(), ended]);
    } catch (error) {
      if (!(error instanceof StreamError) || !error.retryable || signal.aborted) throw error;
      const nowMs = clock.monotonicMs();
      const leftMs = timeoutMs - (nowMs - sinceMs);
      if (leftMs <= 0) throw gaveUp(error, log, timeoutMs);
      if (nowMs - toldMs >= TELL_INTERVAL_MS) {
        toldMs = nowMs;
        const more = leftMs === Number.POSITIVE_INFINITY ? '' : `; trying for another ${Math.ceil(leftMs / 1000)}s`;
        const message = `waiting for the log, which cannot be used yet: ${error.message}${more}`;
        logger.warn({ code: error.code, remedy: error.remedy }, message);
      }
      await clock.sleep(RETRY_PAUSE_MS, signal);
    }
  }
}

/** Rejects when it is over: a log that hangs may keep an attempt for minutes. */
async function endOf(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw new StreamError('log-unavailable', 'stopped while waiting for the log', 'start again');
}

function gaveUp(error: StreamError, log: LogConfiguration, timeoutMs: number): StreamError {
  const remedy =
    log.kind === 'kafka'
      ? `check that the brokers (${log.brokers.join(', ')}) run, can be reached from here and speak Kafka without TLS, then start again; startTimeout of kafka({ … }) says how long is waited`
      : `look at the disk of ${log.directory}, then start again`;
  const message = `gave up after ${Math.round(timeoutMs / 1000)}s, the log cannot be used: ${error.message}`;
  return new StreamError(error.code, message, remedy, { cause: error });
}
