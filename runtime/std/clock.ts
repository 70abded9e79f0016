// Owns the only way to time: a Clock that is handed in. Production uses `systemClock`, tests and simulation their own.

export interface Clock {
  /** Milliseconds since the epoch (may jump). */
  nowMs(): number;
  /** Milliseconds that only grow, for durations and deadlines; in all threads of a process the same. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once when `signal` aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done, { once: true });
    }),
};
