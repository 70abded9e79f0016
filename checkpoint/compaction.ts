// Owns the choice of segments that a checkpoint rewrites, so that dead bytes and the number of files stay bounded.
// Pure: it sees sizes only.

/** What of a segment will be live once the checkpoint under way has written its changed pages. */
export interface CompactionCandidate {
  readonly recordBytes: number;
  readonly liveBytes: number;
}

export interface CompactionLimits {
  /** Dead bytes may be at most this part of all record bytes. */
  readonly deadRatioMax: number;
  readonly segmentBytesMax: number;
  /** Segments allowed beside four times those that the live bytes would fill. */
  readonly spareSegmentsMax: number;
}

/**
 * Candidates to rewrite, worst first: those with the smallest live part while too much is dead, then the smallest while
 * there are too many files (down to half of what is allowed, so that it does not happen at every checkpoint).
 */
export function chooseRewritten<T extends CompactionCandidate>(
  candidates: readonly T[],
  limits: CompactionLimits,
): T[] {
  const chosen: T[] = [];
  let total = 0;
  let live = 0;
  const left: T[] = [];
  for (const candidate of candidates) {
    if (candidate.liveBytes === 0) continue;
    left.push(candidate);
    total += candidate.recordBytes;
    live += candidate.liveBytes;
  }
  left.sort((a, b) => b.liveBytes / b.recordBytes - a.liveBytes / a.recordBytes);
  while (total - live > limits.deadRatioMax * total) {
    const worst = left.pop();
    if (worst === undefined) break;
    chosen.push(worst);
    total -= worst.recordBytes - worst.liveBytes;
  }
  const allowed = limits.spareSegmentsMax + 4 * Math.ceil(live / limits.segmentBytesMax);
  if (left.length > allowed) {
    left.sort((a, b) => b.liveBytes - a.liveBytes);
    chosen.push(...left.splice(Math.floor(allowed / 2)));
  }
  return chosen;
}
