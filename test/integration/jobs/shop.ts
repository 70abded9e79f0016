// The job of the acceptance of joins: orders that may come twice, each with the customer as he was then, with their
// payments. Customers carry a filling that makes the table as large as the test wants.

import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { topic } from '#jobs/descriptions.ts';
import { deduplicate } from '#jobs/function-words.ts';
import { records } from '#jobs/record-words.ts';

export interface Order {
  readonly id: string;
  readonly customer: string;
  readonly cents: number;
  readonly at: number;
}

export interface Payment {
  readonly number: number;
  readonly order: string;
  readonly at: number;
}

export interface Customer {
  readonly id: string;
  readonly version: number;
  readonly gone: boolean;
  readonly at: number;
}

/** An order with its customer, and a payment or none. */
export interface Paid {
  readonly order: string;
  readonly at: number;
  readonly cents: number;
  /** Of the customer; null: there was none then. */
  readonly version: number | null;
  /** The filling as its letter and length. */
  readonly filling: string;
  /** Number of the payment. */
  readonly payment: number | null;
}

export interface ShopOptions {
  /** In front of all topics. */
  readonly prefix: string;
  readonly exchangePartitions: number;
  readonly outOfOrderness: string;
  /** Payments so long before and after their order belong to it. */
  readonly before: string;
  readonly after: string;
  readonly fillingBytes: number;
}

/** How far behind the watermark orders are still looked at and find their customer; the join takes none of them. */
const LOOKED_AT = '1h';

export default function shop(options: ShopOptions): JobDefinition {
  const { after, before, exchangePartitions, fillingBytes, outOfOrderness, prefix } = options;
  const source = { timestamp: ({ at }: { readonly at: number }) => at, outOfOrderness, idleness: '1h' };
  return defineJob({
    name: 'shop',
    exchangePartitions,
    sources: {
      orders: records<Order>({ topic: `${prefix}.orders`, ...source }),
      payments: records<Payment>({ topic: `${prefix}.payments`, ...source }),
      customers: records<Customer>({ topic: `${prefix}.customers`, ...source }),
    },
    build: ({ orders, payments, customers }) => {
      const once = orders
        .keyBy('by-order', ({ id }) => id)
        .process('once', deduplicate<Order>({ within: '10m', allowedLateness: LOOKED_AT }));
      const filled = customers.map('filled', (customer) => {
        const filling = String.fromCharCode(97 + (customer.version % 26)).repeat(fillingBytes);
        return { ...customer, filling };
      });
      const known = once.lookup('customer', filled, {
        key: ({ customer }) => customer,
        tableKey: ({ id }) => id,
        kind: 'left',
        allowedLateness: LOOKED_AT,
        isDeleted: ({ gone }) => gone,
        join: ({ id, cents, at }, row) => {
          const filling = row === null ? '' : `${row.filling[0]}${row.filling.length}`;
          return { order: id, at, cents, version: row?.version ?? null, filling };
        },
      });
      const paid = known.intervalJoin('paid', payments, {
        key: ({ order }) => order,
        otherKey: ({ order }) => order,
        lower: `-${before}`,
        upper: after,
        kind: 'left',
        join: (order, payment): Paid => ({ ...order, payment: payment?.number ?? null }),
      });
      paid.to(topic(`${prefix}.paid`));
      paid.side('late-left').to(topic(`${prefix}.late-orders`));
      paid.side('late-right').to(topic(`${prefix}.late-payments`));
    },
  });
}
