// The job of the acceptance of keyed functions: bookings per account, with a balance, a history, counts by kind, a
// summary of each minute by event time and a payload that makes the state as large as the test wants.

import { integer, json, text } from '#checkpoint/codecs.ts';
import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { topic } from '#jobs/descriptions.ts';
import { listState, mapState, records, valueState } from '#jobs/record-words.ts';

export interface Booking {
  readonly account: string;
  readonly kind: string;
  readonly amount: number;
  readonly at: number;
}

export interface AccountsOptions {
  readonly topic: string;
  readonly exchangePartitions: number;
  /** Bytes of filling in each account's state. */
  readonly payloadBytes: number;
}

const MINUTE_MS = 60_000;
const HISTORY_MAX = 5;

export default function accounts({ topic: source, exchangePartitions, payloadBytes }: AccountsOptions): JobDefinition {
  return defineJob({
    name: 'accounts',
    exchangePartitions,
    source: records<Booking>({ topic: source, timestamp: ({ at }) => at, outOfOrderness: '10s', idleness: '2s' }),
    build: (bookings) => {
      const booked = bookings
        .keyBy('by-account', ({ account }) => account)
        .process('ledger', {
          state: {
            balance: valueState(
              json<{ readonly total: number; readonly bookings: number; readonly filling: string }>(),
            ),
            history: listState(integer()),
            kinds: mapState(text(), integer()),
            minutes: mapState(integer(), integer()),
          },
          sides: ['minutes'],
          process({ amount, kind, at }, { state, timers, emit, key }) {
            const before = state.balance.get() ?? { total: 0, bookings: 0, filling: '' };
            const count = before.bookings + 1;
            const filling = String.fromCharCode(97 + (count % 26)).repeat(payloadBytes);
            state.balance.set({ total: before.total + amount, bookings: count, filling });
            state.history.set([...state.history.get(), amount].slice(-HISTORY_MAX));
            state.kinds.set(kind, (state.kinds.get(kind) ?? 0) + 1);
            const minute = Math.floor(at / MINUTE_MS) * MINUTE_MS;
            state.minutes.set(minute, (state.minutes.get(minute) ?? 0) + amount);
            timers.onEventTime(minute + MINUTE_MS);
            const kinds = Object.fromEntries(state.kinds.entries());
            emit({ account: key, count, total: before.total + amount, history: [...state.history.get()], kinds });
          },
          onTimer({ timeMs }, { state, side, key }) {
            const minute = timeMs - MINUTE_MS;
            side('minutes', { account: key, minute, sum: state.minutes.get(minute) });
            state.minutes.delete(minute);
          },
        });
      booked.to(topic(`${source}.booked`));
      booked.side('minutes').to(topic(`${source}.minutes`));
    },
  });
}
