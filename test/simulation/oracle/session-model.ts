// Owns the slow meaning of session windows, as Flink has them with touching for together: which sessions a sequence of
// records and watermarks must give, what is in them and in which order, and which records are late.

import { RecordModel, type TakenRow } from '#test/simulation/oracle/record-model.ts';

export interface Visit {
  readonly user: string;
  readonly n: number;
  readonly at: number;
}

interface Session {
  startMs: number;
  endMs: number;
  /** Sessions that were merged, each with its records in the order they came. */
  visits: number[];
  firings: number;
}

export interface SessionRules {
  readonly gapMs: number;
  readonly allowedLatenessMs: number;
  readonly to: string;
  readonly lateTo: string;
}

export class SessionModel extends RecordModel {
  late = 0;
  merged = 0;
  corrected = 0;
  readonly #rules: SessionRules;
  readonly #sessions = new Map<string, Session[]>();
  /** Sessions that fired: at their end, or as a correction since. */
  readonly #hasEnded = new WeakSet<Session>();

  constructor(rules: SessionRules) {
    super();
    this.#rules = rules;
  }

  /** Sessions that have not ended. */
  get open(): number {
    return [...this.#sessions.values()].flat().filter(({ endMs }) => endMs > this.watermarkMs).length;
  }

  override onRecord({ timestampMs, value }: TakenRow): void {
    const { allowedLatenessMs, gapMs, lateTo } = this.#rules;
    const { n, user } = value as Visit;
    const mine: Session = { startMs: timestampMs, endMs: timestampMs + gapMs, visits: [], firings: 0 };
    const kept = this.#sessions.get(user) ?? [];
    const touching = kept.filter((one) => one.startMs <= mine.endMs && one.endMs >= mine.startMs);
    if (mine.endMs + allowedLatenessMs <= this.watermarkMs && touching.length === 0) {
      this.late++;
      this.put(lateTo, user, timestampMs, value);
      return;
    }
    if (touching.length > 1) this.merged++;
    const session: Session = {
      startMs: Math.min(mine.startMs, ...touching.map(({ startMs }) => startMs)),
      endMs: Math.max(mine.endMs, ...touching.map(({ endMs }) => endMs)),
      visits: [...touching.flatMap(({ visits }) => visits), n],
      firings: Math.max(0, ...touching.map(({ firings }) => firings)),
    };
    const all = [...kept.filter((one) => !touching.includes(one)), session];
    this.#sessions.set(
      user,
      all.sort((a, b) => a.startMs - b.startMs),
    );
    if (session.endMs <= this.watermarkMs) {
      this.corrected++;
      this.#fire(user, session);
    }
  }

  // Of several that end in one leap of the watermark, the earlier end comes first.
  override onWatermark(): void {
    const { allowedLatenessMs } = this.#rules;
    const due: (readonly [user: string, session: Session])[] = [];
    for (const [user, sessions] of this.#sessions) {
      for (const one of sessions) if (one.endMs <= this.watermarkMs && !this.#hasEnded.has(one)) due.push([user, one]);
    }
    due.sort(([, a], [, b]) => a.endMs - b.endMs);
    for (const [user, session] of due) this.#fire(user, session);
    for (const [user, sessions] of this.#sessions) {
      const kept = sessions.filter(({ endMs }) => endMs + allowedLatenessMs > this.watermarkMs);
      if (kept.length === 0) this.#sessions.delete(user);
      else this.#sessions.set(user, kept);
    }
  }

  #fire(user: string, session: Session): void {
    const { endMs, firings, startMs, visits } = session;
    this.#hasEnded.add(session);
    session.firings++;
    const value = { user, from: startMs, to: endMs, revision: firings, visits: [...visits] };
    this.put(this.#rules.to, user, endMs - 1, value);
  }
}
