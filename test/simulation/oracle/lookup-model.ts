// Owns the slow meaning of looking records up in a table that comes as its changes: Flink's temporal join by event time,
// or the row that came last. Keeps every change for ever; shares nothing with the engine.

import { RecordModel, type TakenRow } from '#test/simulation/oracle/record-model.ts';

export interface Order {
  readonly order: string;
  readonly customer: string;
  readonly n: number;
  readonly at: number;
}

export interface Customer {
  readonly customer: string;
  readonly country: string;
  /** There is no such customer from then on. */
  readonly gone: boolean;
  readonly at: number;
}

export interface KnownOrder extends Order {
  readonly country: string;
  readonly rowMs: number | null;
}

export interface LookupRules {
  readonly mode: 'versioned' | 'latest';
  readonly kind: 'inner' | 'left';
  readonly allowedLatenessMs: number;
  /** Where results go, and under which key and as what. */
  readonly to: string;
  readonly keyOf: (order: KnownOrder) => string;
  readonly sent: (order: KnownOrder) => unknown;
  readonly lateTo: string;
}

export class LookupModel extends RecordModel {
  late = 0;
  answered = 0;
  readonly #rules: LookupRules;
  /** By customer, in the order they came. */
  readonly #changes = new Map<string, Customer[]>();
  readonly #waiting: Order[] = [];

  constructor(rules: LookupRules) {
    super();
    this.#rules = rules;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  override onRecord({ timestampMs, value }: TakenRow): void {
    const { allowedLatenessMs, lateTo, mode } = this.#rules;
    const [side, record] = value as readonly [0, Order] | readonly [1, Customer];
    if (side === 1) {
      const changes = this.#changes.get(record.customer) ?? [];
      this.#changes.set(record.customer, [...changes, record]);
    } else if (mode === 'latest') this.#answer(record, this.#changes.get(record.customer)?.at(-1));
    else if (timestampMs + allowedLatenessMs < this.watermarkMs) {
      this.late++;
      this.put(lateTo, record.customer, timestampMs, record);
    } else if (timestampMs < this.watermarkMs) this.#answer(record, this.#rowAt(record));
    else this.#waiting.push(record);
  }

  override onWatermark(): void {
    const ready = this.#waiting.filter(({ at }) => at < this.watermarkMs).sort((a, b) => a.at - b.at);
    for (const order of ready) {
      this.#waiting.splice(this.#waiting.indexOf(order), 1);
      this.#answer(order, this.#rowAt(order), order.at);
    }
  }

  #rowAt({ at, customer }: Order): Customer | undefined {
    return rowAt(this.#changes.get(customer) ?? [], at);
  }

  #answer(order: Order, found: Customer | undefined, tieMs: number | null = null): void {
    const { keyOf, kind, sent, to } = this.#rules;
    const row = found === undefined || found.gone ? null : found;
    this.answered++;
    if (row === null && kind === 'inner') return;
    const known = knownOrder(order, row);
    this.put(to, keyOf(known), order.at, sent(known), tieMs);
  }
}

/** The row that holds at a time: of those up to it the newest, of the same time the one that came last. */
export function rowAt(changes: readonly Customer[], atMs: number): Customer | undefined {
  let found: Customer | undefined;
  for (const one of changes) if (one.at <= atMs && (found === undefined || one.at >= found.at)) found = one;
  return found;
}

export function knownOrder(order: Order, row: Customer | null): KnownOrder {
  return { ...order, country: row === null ? 'unknown' : row.country, rowMs: row === null ? null : row.at };
}
