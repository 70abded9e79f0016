// Owns the list of what must have happened in some of many seeds: every kind of fault and every branch of recovery. A
// simulation in which one never happens proves nothing about it.

import type { Coverage } from '#test/simulation/coverage.ts';

export const MUST_HAPPEN: readonly string[] = [
  'checkpoint of another chain refused',
  'clean stop',
  'closed by idle time',
  'corrections',
  'dead letters',
  'disk: bitsFlipped',
  'disk: powerFailures',
  'disk: refused',
  'down for an hour',
  'ended: superseded (not the owner)',
  'entries that never were',
  'entry cut within a firing',
  'transaction ended by hand',
  'idle entries',
  'initialised again with the own epoch',
  'killed while fencing',
  'killed while replaying',
  'killed while restoring',
  'killed while running',
  'late samples',
  'own epoch refused',
  'producer: epochRanOut',
  'producer: fenced',
  'producer: abortMarkersLost',
  'producer: commitMarkersLost',
  'producer: markersLostInPart',
  'producer: markersRefused',
  'producer: refused',
  'producer: timedOut',
  'replays of several entries',
  'request: answer-lost',
  'request: closed-after',
  'request: closed-before',
  'request: refused',
  'request: request-late',
  'request: request-lost',
  'said: checkpoint has segments and no manifest',
  'said: checkpoint is damaged and passed over',
  'said: deleting files that no checkpoint of this task needs',
  'same records sent again',
  'shape: exchange',
  'shape: producer',
  'shape: series',
  'shut its successor out, and heard so',
  'slot died',
  'started with another version',
  'states compared',
];

/** What of it never happened. */
export function missing(coverage: Coverage): string[] {
  return MUST_HAPPEN.filter((name) => coverage.get(name) === 0);
}
