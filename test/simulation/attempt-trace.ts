// Owns the record of what one attempt at a task did: what it restored, its states, what it sent. Judged at the end.

/** A state at the end of an entry. */
export interface StateAtEntry {
  /** Null where none was taken. */
  readonly digest: string | null;
  readonly watermarkMs: number;
  readonly clockMs: number;
}

export interface SentEntry {
  readonly number: number;
  readonly bytes: Buffer;
  readonly state: StateAtEntry | null;
}

export interface CapturedState {
  readonly entry: number;
  readonly chainHash: string;
  readonly digest: string;
  readonly watermarkMs: number;
  readonly clockMs: number;
}

/** What one attempt at a task did. */
export class AttemptTrace {
  readonly attempt: string;
  /** Number of the process it was made by. */
  readonly process: number;
  readonly digestEvery: number;
  restored: CapturedState | null = null;
  /** States at the ends of its entries, replayed ones first. */
  readonly states: StateAtEntry[] = [];
  readonly sent: SentEntry[] = [];

  constructor(attempt: string, process: number, digestEvery: number) {
    this.attempt = attempt;
    this.process = process;
    this.digestEvery = digestEvery;
  }

  /**
   * How many of its states are of entries that it replayed: those before the first that it sent. Null when that cannot be
   * told: it sent none, and may have ended while something outside of the log had not taken an entry yet.
   */
  get replayed(): number | null {
    const live = this.sent.findIndex((one) => one.state !== null);
    return live < 0 ? null : this.states.indexOf(this.sent[live].state!);
  }
}
