// Owns what a source asks of somebody outside who may not know yet: a schema registry. Answers decide output, so what
// was not there is recorded with the entry and given again in replay.

export interface SourceSchemas {
  /** Begins an entry; `recorded` are the ids that were missing in it when it is replayed, null when it is new. */
  begin(recorded: readonly number[] | null): void;
  /** Ids found missing in this entry, ascending. */
  readonly misses: readonly number[];
  /** What the next record waits for; null when `decode` did not stop before one. */
  readonly waitsFor: string | null;
  /** Resolves when the wait is over. */
  settled(): Promise<void>;
  close(): void;
}
