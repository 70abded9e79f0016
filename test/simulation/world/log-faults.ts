// Owns the faults of the simulated log as plain numbers: probabilities per request unless the name says otherwise.
// A seed draws which kinds it has at all (swarm), because a world with every fault at once never gets anywhere.

import type { Random } from '#test/simulation/world/random.ts';

export interface Faults {
  /** Usual one-way latency, milliseconds. */
  readonly latencyMs: number;
  /** A request that takes much longer than usual, but not beyond its deadline. */
  readonly slow: number;
  /** Never reaches the log; the client sees its deadline pass. */
  readonly requestLost: number;
  /** Is carried out; the client sees its deadline pass. */
  readonly answerLost: number;
  /** Reaches the log long after the client gave up. */
  readonly requestLate: number;
  /** The connection closes before the request is carried out. */
  readonly closedBefore: number;
  /** The connection closes after the request was carried out. */
  readonly closedAfter: number;
  /** The coordinator says that it is loading, moved or busy (14, 15, 16, 51). */
  readonly coordinatorBusy: number;
  /** The partition's leader moves now: errors until the metadata is fetched again and an election has passed. */
  readonly leaderMoves: number;
  /** Longest time between EndTxn's ok and a control marker. */
  readonly markerLagMs: number;
  /** Per commit: the coordinator restarts and leaves out its markers, all or some (seen with Kafka); aborts more often. */
  readonly markersLost: number;
  /** Clients may not write markers that the coordinator left out. */
  readonly markersRefused: boolean;
  /** A fetch answer holds fewer batches than it could. */
  readonly fetchCut: number;
  /** A fetch answer shows the end of the log as it was before. */
  readonly fetchLag: number;
  /** A batch is handed out in two parts, the second beginning below the position. */
  readonly batchSplit: number;
  /** Every batch is handed out record by record. */
  readonly recordByRecord: boolean;
  /** Per transactional id: begins with an epoch near the end, so that producer ids change in mid-run. */
  readonly epochsRunOut: number;
  /** A transaction that timed out also shuts out its owner (as below transaction.version 2). */
  readonly timeoutFences: boolean;
}

export const NO_FAULTS: Faults = {
  latencyMs: 0.5,
  slow: 0,
  requestLost: 0,
  answerLost: 0,
  requestLate: 0,
  closedBefore: 0,
  closedAfter: 0,
  coordinatorBusy: 0,
  leaderMoves: 0,
  markerLagMs: 0,
  markersLost: 0,
  markersRefused: false,
  fetchCut: 0,
  fetchLag: 0,
  batchSplit: 0,
  recordByRecord: false,
  epochsRunOut: 0,
  timeoutFences: false,
};

/** What a healthy cluster does every day: no call fails, but nothing is prompt. */
export const HARMLESS_FAULTS: Faults = {
  ...NO_FAULTS,
  latencyMs: 3,
  slow: 0.05,
  coordinatorBusy: 0.1,
  markerLagMs: 35,
  fetchCut: 0.5,
  fetchLag: 0.3,
  batchSplit: 0.3,
  epochsRunOut: 0.5,
};

/** The faults of one seed: each kind is off, rare or frequent. */
export function drawFaults(random: Random): Faults {
  const draw = (rare: number, frequent: number) => random.pick([0, 0, rare, frequent]);
  return {
    latencyMs: random.pick([0.3, 1, 5, 20]),
    slow: draw(0.01, 0.1),
    requestLost: draw(0.002, 0.02),
    answerLost: draw(0.002, 0.02),
    requestLate: draw(0.002, 0.02),
    closedBefore: draw(0.002, 0.02),
    closedAfter: draw(0.002, 0.02),
    coordinatorBusy: draw(0.05, 0.3),
    leaderMoves: draw(0.001, 0.01),
    markerLagMs: random.pick([0, 5, 35, 400]),
    markersLost: 0,
    markersRefused: false,
    fetchCut: draw(0.2, 0.7),
    fetchLag: draw(0.1, 0.5),
    batchSplit: draw(0.1, 0.4),
    recordByRecord: false,
    epochsRunOut: random.pick([0, 0, 1]),
    timeoutFences: random.chance(0.3),
  };
}
