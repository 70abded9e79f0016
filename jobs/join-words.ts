// Owns what authors say of joins and lookups. They only hold what the author gave; the compiler checks it.

import type { Duration } from '#jobs/descriptions.ts';
import type { JoinInfo } from '#operators/process/interval-join.ts';
import type { LookupInfo } from '#operators/process/table-lookup.ts';

interface IntervalJoinFields<Left, Right> {
  /** The key of a record of this stream, and of the other: texts that are not empty. */
  readonly key: (left: Left) => string;
  readonly otherKey: (right: Right) => string;
  /** Pairs with left + lower ≤ right ≤ left + upper in event time; may begin with a minus. */
  readonly lower: Duration;
  readonly upper: Duration;
  /** How far behind the watermark records are still joined; others go to the sides `late-left`, `late-right`. @default '0s' */
  readonly allowedLateness?: Duration | undefined;
}

/** `kind`: whose records go on alone, with null, when they have met nothing. Default 'inner': nobody's. */
export type IntervalJoinSpec<Left, Right, Out> = IntervalJoinFields<Left, Right> &
  (
    | { readonly kind?: 'inner' | undefined; readonly join: (left: Left, right: Right, info: JoinInfo) => Out }
    | { readonly kind: 'left'; readonly join: (left: Left, right: Right | null, info: JoinInfo) => Out }
    | { readonly kind: 'right'; readonly join: (left: Left | null, right: Right, info: JoinInfo) => Out }
    | { readonly kind: 'full'; readonly join: (left: Left | null, right: Right | null, info: JoinInfo) => Out }
  );

interface LookupFields<Record, Row> {
  readonly key: (record: Record) => string;
  /** The key of a row; deletions have one too. */
  readonly tableKey: (row: Row) => string;
  /**
   * 'versioned': the row that held at the record's event time, once the watermark has passed that; 'latest': the row
   * that came last, at once. @default 'versioned'
   */
  readonly mode?: 'versioned' | 'latest' | undefined;
  /** Versioned: how far behind the watermark records are still answered; others go to the side `late`. @default '0s' */
  readonly allowedLateness?: Duration | undefined;
  /** Rows that say that there is none of this key from then on. @default never */
  readonly isDeleted?: ((row: Row) => boolean) | undefined;
}

/** `kind`: whether records without a row go on, with null. Default 'inner': they do not. */
export type LookupSpec<Record, Row, Out> = LookupFields<Record, Row> &
  (
    | { readonly kind?: 'inner' | undefined; readonly join: (record: Record, row: Row, info: LookupInfo) => Out }
    | { readonly kind: 'left'; readonly join: (record: Record, row: Row | null, info: LookupInfo) => Out }
  );

/** Both, without their types: as graphs keep them. */
export type PairSpec = IntervalJoinSpec<never, never, unknown> | LookupSpec<never, never, unknown>;
