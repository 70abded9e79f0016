// Owns what a page swap asks of the place where pages lie that are not in memory. It need not outlive its process: state
// comes from checkpoints. It need not check what it gives back either: the swap remembers length and checksum.

/** Which page of which state; states are numbered in the order in which they were attached. */
export interface ColdAddress {
  readonly state: number;
  readonly page: number;
}

export interface ColdWrite extends ColdAddress {
  /** Null: there is none any more. Not changed before `write` resolves. */
  readonly bytes: Uint8Array | null;
}

export interface ColdPages {
  /** The page as last written, null when there is none. Synchronous; what it returns belongs to the caller. */
  read(state: number, page: number): Buffer | null;
  /** All or nothing, in this order; what was written before stays readable meanwhile. */
  write(writes: readonly ColdWrite[]): Promise<void>;
  /** Ends it and removes what it held. */
  close(): Promise<void>;
}
