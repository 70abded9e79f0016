// Owns the patience with something that should be moving: looks at it now and then and gives up when it stood still for
// too long. Knows nothing of what moves.

import type { Clock } from '#runtime/std/clock.ts';

export interface ProgressWatch {
  readonly clock: Clock;
  /** Ends the watch. */
  readonly signal: AbortSignal;
  readonly patienceMs: number;
  /** Another value whenever something moved; null while standing still is right. */
  readonly progress: () => string | null;
  readonly giveUp: () => void;
}

/** Never rejects; ends with `giveUp` or with the signal. */
export async function watchProgress({ clock, signal, patienceMs, progress, giveUp }: ProgressWatch): Promise<void> {
  let seen: string | null = null;
  let movedMs = clock.monotonicMs();
  while (!signal.aborted) {
    const now = progress();
    if (now === null || now !== seen) movedMs = clock.monotonicMs();
    else if (clock.monotonicMs() - movedMs >= patienceMs) return giveUp();
    seen = now;
    await clock.sleep(patienceMs / 10, signal);
  }
}
